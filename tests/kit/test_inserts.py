"""Rows that are written together: all of them, in their order, or none."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError

from manga_backend.kernel.approvals.models import Approval
from manga_backend.kernel.approvals.types import State
from manga_backend.kit.app import App
from manga_backend.kit.db import transaction
from manga_backend.kit.idempotency import IdempotencyKey
from manga_backend.kit.inserts import insert_together
from manga_backend.kit.jobs import ScheduledRun
from tests.support import counted_queries

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def key(name: str) -> IdempotencyKey:
    return IdempotencyKey(
        user_id=1, key=name, fingerprint=f"of {name}", leased_until=NOON, created_at=NOON
    )


def keys() -> list[str]:
    with transaction() as current:
        return list(current.scalars(select(IdempotencyKey.key).order_by(IdempotencyKey.id)))


def test_several_tables_in_the_order_of_the_rows(app: App) -> None:
    with app.app_context():
        with transaction():
            insert_together(
                ScheduledRun(name="a", due_at=NOON),
                *map(key, "cab"),
                ScheduledRun(name="b", due_at=NOON),
            )
        assert keys() == ["c", "a", "b"]
        with transaction() as current:
            found = current.scalars(select(ScheduledRun).order_by(ScheduledRun.name)).all()
            assert [(run.name, run.due_at, run.error) for run in found[:2]] == [
                ("a", NOON, None),
                ("b", NOON, None),
            ]


def test_is_one_statement_on_postgresql(pg_app: App) -> None:
    with pg_app.app_context(), counted_queries(pg_app) as seen, transaction():
        insert_together(ScheduledRun(name="a", due_at=NOON), *map(key, "abcd"))
    assert len(seen) == 1


def test_what_a_row_does_not_say_is_filled_in(app: App) -> None:
    with app.app_context():
        with transaction():
            row = Approval(kind="test", subject_id="1", created_at=NOON)
            insert_together(row)
            assert (row.state, row.reminders, row.decided_at) == (State.PENDING, 0, None)
        with transaction() as current:
            found = current.get_one(Approval, row.id)
            assert (found.state, found.reminders, found.created_at) == (State.PENDING, 0, NOON)


def test_a_row_with_a_known_key_belongs_to_the_session(app: App) -> None:
    with app.app_context():
        with transaction() as current:
            run = ScheduledRun(name="a", due_at=NOON)
            insert_together(run)
            assert current.get(ScheduledRun, "a") is run
            run.error = "later"
        with transaction() as current:
            assert current.get_one(ScheduledRun, "a").error == "later"


def test_none_is_left_when_one_is_refused(app: App) -> None:
    with app.app_context():
        with pytest.raises(IntegrityError), transaction():
            insert_together(ScheduledRun(name="a", due_at=NOON), key("x"), key("x"))
        assert keys() == []
        with transaction() as current:
            assert current.scalar(select(func.count()).select_from(ScheduledRun)) == 0
