"""Transactions, what waits for them, and the kinds of columns."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import IntegrityError, StatementError

from manga_backend.kit.app import App
from manga_backend.kit.db import (
    after_commit,
    before_commit,
    db,
    read_one,
    session,
    transaction,
)
from manga_backend.kit.jobs import ScheduledRun
from manga_backend.kit.principal import public
from manga_backend.kit.problems import DomainError
from tests.conftest import Deployment
from tests.support import at_once
from tests.variants import dispose, logged, variant
from tools.services import PostgresServer

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


class Kept(DomainError):
    keeps_changes = True


@pytest.fixture
def inside(app: App) -> Iterator[None]:
    """An app context on each database."""
    with app.app_context():
        yield


def add(name: str) -> None:
    session().add(ScheduledRun(name=name, due_at=NOON))
    session().flush()


def seen(name: str) -> bool:
    """As another connection sees it."""
    statement = select(ScheduledRun.name).where(ScheduledRun.name == name)
    return read_one(statement, {}) is not None


@pytest.mark.usefixtures("inside")
class TestTransaction:
    def test_return_commits(self) -> None:
        with transaction():
            add("a")
            assert not seen("a")
        assert seen("a")

    def test_raise_rolls_back_and_goes_on(self) -> None:
        with pytest.raises(RuntimeError), transaction():  # noqa: PT012
            add("a")
            raise RuntimeError
        assert not seen("a")

    def test_refusal_rolls_back(self) -> None:
        with pytest.raises(DomainError), transaction():  # noqa: PT012
            add("a")
            raise DomainError
        assert not seen("a")

    def test_refusal_that_keeps_changes_commits_and_goes_on(self) -> None:
        with pytest.raises(Kept), transaction():  # noqa: PT012
            add("a")
            raise Kept
        assert seen("a")

    def test_failed_commit_leaves_a_session_that_works(self) -> None:
        with transaction():
            add("a")
        with pytest.raises(IntegrityError), transaction() as current:
            current.add(ScheduledRun(name="a", due_at=NOON))
        with transaction():
            add("b")
        assert seen("b")


@pytest.mark.usefixtures("inside")
class TestAfterCommit:
    def test_runs_when_others_can_see_the_change(self) -> None:
        found: list[bool] = []
        with transaction():
            add("a")
            after_commit(lambda: found.append(seen("a")))
            assert found == []
        assert found == [True]

    def test_is_dropped_on_rollback_for_good(self) -> None:
        ran: list[str] = []
        with pytest.raises(RuntimeError), transaction():  # noqa: PT012
            after_commit(lambda: ran.append("lost"))
            raise RuntimeError
        with transaction():
            after_commit(lambda: ran.append("kept"))
        assert ran == ["kept"]

    def test_runs_once(self) -> None:
        ran: list[str] = []
        with transaction():
            after_commit(lambda: ran.append("x"))
        with transaction():
            add("a")
        assert ran == ["x"]

    def test_failure_is_only_logged_and_the_others_run(self) -> None:
        ran: list[str] = []

        def fails() -> None:
            raise RuntimeError("no")

        with logged() as lines, transaction():
            add("a")
            after_commit(fails)
            after_commit(lambda: ran.append("x"))
        assert seen("a")
        assert ran == ["x"]
        assert lines == ["a follow-up of a commit failed"]

    def test_runs_for_a_refusal_that_keeps_changes(self) -> None:
        ran: list[str] = []
        with pytest.raises(Kept), transaction():  # noqa: PT012
            after_commit(lambda: ran.append("x"))
            raise Kept
        assert ran == ["x"]


@pytest.mark.usefixtures("inside")
class TestBeforeCommit:
    def test_runs_once_for_a_key_inside_the_transaction(self) -> None:
        ran: list[str] = []
        with transaction():
            for number in range(3):
                before_commit("sum", lambda number=number: (ran.append(f"{number}"), add("a")))
            before_commit("other", lambda: ran.append("other"))
            assert ran == []
        assert ran == ["0", "other"]
        assert seen("a")

    def test_runs_again_in_the_next_transaction(self) -> None:
        ran: list[str] = []
        for _ in range(2):
            with transaction():
                before_commit("sum", lambda: ran.append("x"))
        assert ran == ["x", "x"]

    def test_is_dropped_on_rollback(self) -> None:
        ran: list[str] = []
        with pytest.raises(RuntimeError), transaction():  # noqa: PT012
            before_commit("sum", lambda: ran.append("x"))
            raise RuntimeError
        with transaction():
            add("a")
        assert ran == []

    def test_failure_rolls_everything_back(self) -> None:
        ran: list[str] = []

        def fails() -> None:
            raise RuntimeError("no")

        with pytest.raises(RuntimeError), transaction():  # noqa: PT012
            add("a")
            before_commit("sum", fails)
            after_commit(lambda: ran.append("x"))
        assert not seen("a")
        assert ran == []


class TestRequests:
    @pytest.fixture
    def paths(self, deployment: Deployment) -> Iterator[App]:
        with variant(deployment.settings) as app:

            @app.route("/adds/<name>", methods=["POST"])
            @public
            def adds(name: str) -> str:
                add(name)
                if name == "refused":
                    raise DomainError
                return "fine"

            yield app

    def test_post_commits(self, paths: App) -> None:
        assert paths.test_client().post("/adds/fine").status_code == 200
        with paths.app_context():
            assert seen("fine")

    def test_refused_post_rolls_back(self, paths: App) -> None:
        assert paths.test_client().post("/adds/refused").status_code == 422
        with paths.app_context():
            assert not seen("refused")


class TestSqliteWriteLock:
    @pytest.fixture
    def locks(self, on_sqlite: Deployment) -> Iterator[App]:
        on_sqlite.reset()
        file = Path(on_sqlite.settings["INSTANCE_PATH"]) / "manga.sqlite3"
        with variant(on_sqlite.settings) as app:

            @app.route("/locked", methods=["GET", "POST"])
            @public
            def locked() -> str:
                session().scalar(select(ScheduledRun.name))
                return "free" if can_write(file) else "locked"

            yield app

    def test_get_does_not_hold_it(self, locks: App) -> None:
        assert locks.test_client().get("/locked").text == "free"

    def test_post_takes_it_before_it_reads(self, locks: App) -> None:
        assert locks.test_client().post("/locked").text == "locked"

    def test_is_free_after_a_post(self, locks: App, on_sqlite: Deployment) -> None:
        locks.test_client().post("/locked")
        assert can_write(Path(on_sqlite.settings["INSTANCE_PATH"]) / "manga.sqlite3")

    def test_two_who_read_and_then_write_lose_nothing(self, on_sqlite: Deployment) -> None:
        on_sqlite.reset()
        with on_sqlite.app.app_context(), transaction():
            add("count")

        def one_more(_: int) -> None:
            with on_sqlite.app.app_context(), transaction() as current:
                row = current.get(ScheduledRun, "count")
                assert row is not None
                row.duration_ms = (row.duration_ms or 0) + 1

        at_once(10, one_more)
        with on_sqlite.app.app_context():
            found = db.session.get(ScheduledRun, "count")
            assert found is not None
            assert found.duration_ms == 10

    def test_foreign_keys_are_kept(self, on_sqlite: Deployment) -> None:
        on_sqlite.reset()
        with (
            on_sqlite.app.app_context(),
            pytest.raises(IntegrityError),
            transaction() as current,
        ):
            current.execute(
                text(
                    "INSERT INTO link_codes (code_hash, user_id, created_at, expires_at) "
                    "VALUES ('x', 999, '2026-01-01', '2026-01-01')"
                )
            )


def can_write(file: Path) -> bool:
    with closing(sqlite3.connect(file, timeout=0, isolation_level=None)) as other:
        try:
            other.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            return False
        other.execute("ROLLBACK")
        return True


class TestConnectionsThatDiedWhileIdle:
    """As after each start of the database: whoever comes first is served."""

    @pytest.fixture(autouse=True)
    def died(self, pg_app: App, postgres: PostgresServer) -> Iterator[None]:
        with pg_app.app_context():
            assert not seen("a")
            with transaction():
                add("b")
            postgres.end_connections(str(db.engine.url.database))
            yield
        dispose(pg_app)

    def test_a_read_is_answered(self) -> None:
        assert read_one(text("SELECT 2 AS two"), {}) == {"two": 2}

    def test_a_write_is_done_once(self) -> None:
        with transaction():
            add("a")
        assert seen("a")


class TestReadOne:
    @pytest.mark.usefixtures("inside")
    def test_nothing_is_none(self) -> None:
        assert read_one(select(ScheduledRun.name), {}) is None


@pytest.mark.usefixtures("inside")
class TestUtcDateTime:
    @pytest.mark.parametrize("hours", [0, 3.5, -8])
    def test_any_zone_comes_back_as_the_same_moment_in_utc(self, hours: float) -> None:
        moment = datetime(2026, 3, 1, 23, 59, 59, 123456, timezone(timedelta(hours=hours)))
        with transaction() as current:
            current.add(ScheduledRun(name="a", due_at=moment))
        row = read_one(select(ScheduledRun.due_at), {})
        assert row is not None
        assert row["due_at"] == moment
        assert row["due_at"].tzinfo is UTC

    def test_time_without_a_zone_is_refused(self) -> None:
        with pytest.raises(StatementError), transaction() as current:
            current.add(ScheduledRun(name="a", due_at=datetime(2026, 3, 1)))  # noqa: DTZ001
