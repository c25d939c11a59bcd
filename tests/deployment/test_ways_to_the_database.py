"""Through a pooler, from a replica that follows, and to a database that takes no writes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg2
import pytest
from sqlalchemy import text

from manga_backend.app import create_app
from manga_backend.kernel.identity.types import Role
from manga_backend.kernel.operations.jobs import create_backup
from manga_backend.kit import replica
from manga_backend.kit.db import db
from tests.deployment.processes import Web, Worker, eventually
from tests.deployment.test_workers import press, sign_in, sign_up, submit
from tests.products.urgent.factories import person
from tests.standins.telegram import BotApiStandIn
from tests.support import ADMIN_IDS, PASSWORD, Api
from tests.variants import dispose
from tools.pgbouncer import PgBouncer, find_pgbouncer
from tools.services import PostgresServer, RedisServer
from tools.standby import StandbyServer


def name_of(settings: dict[str, str]) -> str:
    return settings["DATABASE_URL"].rpartition("/")[2]


@pytest.mark.skipif(find_pgbouncer() is None, reason="PgBouncer is not installed")
def test_through_a_pooler_that_lends_connections_for_a_transaction(
    settings: dict[str, str],
    postgres: PostgresServer,
    telegram: BotApiStandIn,
    start: Any,
    redis_server: RedisServer,
) -> None:
    with PgBouncer(postgres, name_of(settings)) as pooler:
        values = {
            **settings,
            "DATABASE_URL": pooler.url(),
            "DATABASE_DIRECT_URL": settings["DATABASE_URL"],
            "BACKUP_POSTGRES_BIN": str(postgres.installation.folder),
            "REDIS_URL": redis_server.url(5),
        }
        web, worker = start(Web, values), start(Worker, values)
        web.leader()
        readers = {number: sign_up(web, number) for number in range(801301, 801304)}
        for token in readers.values():
            press(telegram, ADMIN_IDS[0], submit(web, token), "✅")
        for token in readers.values():
            eventually(
                lambda t=token: web.call("GET", "/api/user/status", t).json()["purchases_count"]
            )
        assert web.checks()["database"]["ok"] is True
        assert not [line for line in (*web.lines(), *worker.lines()) if line["level"] == "ERROR"]
        with psycopg2.connect(pooler.url()) as connection:  # nobody is left with another's settings
            cursor = connection.cursor()
            cursor.execute("SELECT count(*) FROM pg_prepared_statements")
            assert cursor.fetchone() == (0,)
        app = create_app(values)
        with app.app_context():
            assert create_backup().contents.rows["users"] == 3
        dispose(app)


@pytest.fixture
def standby(postgres: PostgresServer) -> Iterator[StandbyServer]:
    with StandbyServer(postgres) as found:
        yield found


class TestReplica:
    def test_lists_statistics_and_exports_come_from_it_while_it_is_near(
        self,
        settings: dict[str, str],
        standby: StandbyServer,
        telegram: BotApiStandIn,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(replica, "LOOK_SECONDS", 0.0)
        url = standby.url(name_of(settings))
        app = create_app({**settings, "DATABASE_REPLICA_URL": url})
        api = Api(app, telegram)
        order = str(person(api, "Анна").order()["id"])
        admin = api.staff(Role.ADMIN)

        def listed() -> list[str]:
            return [one["id"] for one in api.client().get("/api/orders").get_json()]

        def users() -> int:
            found: int = admin.get("/admin/system/stats").get_json()["users"]["total"]
            return found

        eventually(lambda: order in listed())
        eventually(lambda: users() == 2)
        assert _check(api)["detail"] == "near"

        # What it does not have yet is not seen there, and who reads his own is read the primary.
        with psycopg2.connect(url) as copy:
            copy.autocommit = True
            copy.cursor().execute("SELECT pg_wal_replay_pause()")
            client = person(api, "Борис")
            later = str(client.order()["id"])
            assert later not in listed()
            assert later in [one["id"] for one in client.get("/api/users/me/orders").get_json()]
            monkeypatch.setattr(replica, "LARGEST_LAG_SECONDS", 0.5)
            eventually(lambda: later in listed())
            assert "behind" in _check(api)["detail"]
            copy.cursor().execute("SELECT pg_wal_replay_resume()")
        eventually(lambda: _check(api)["ok"])

        # It dies between two looks: the reads are done again at the primary.
        monkeypatch.setattr(replica, "LOOK_SECONDS", 60.0)
        assert later in listed()
        standby.kill()
        assert later in listed()
        assert "failed" in _check(api)["detail"]
        monkeypatch.setattr(replica, "LOOK_SECONDS", 0.0)
        assert users() == 3
        assert "away" in _check(api)["detail"]
        standby.start()
        eventually(lambda: _check(api)["ok"])
        dispose(app)

    def test_no_session_is_ever_read_there(
        self,
        settings: dict[str, str],
        standby: StandbyServer,
        telegram: BotApiStandIn,
    ) -> None:
        url = standby.url(name_of(settings))
        app = create_app({**settings, "DATABASE_REPLICA_URL": url})
        api = Api(app, telegram)
        admin = api.staff(Role.ADMIN)
        with psycopg2.connect(url) as copy:
            copy.autocommit = True
            copy.cursor().execute("SELECT pg_wal_replay_pause()")
            assert admin.get("/admin/system/stats").status_code == 200
            api.sign_in(admin.username)  # ends the session of before
            assert admin.get("/admin/system/stats").status_code == 401
            copy.cursor().execute("SELECT pg_wal_replay_resume()")
        dispose(app)


def _check(api: Api) -> dict[str, Any]:
    found: dict[str, Any] = api.client().get("/health/ready").get_json()["checks"]["replica"]
    return found


def test_a_database_that_takes_no_writes_is_said_and_recovers(
    settings: dict[str, str], postgres: PostgresServer, start: Any
) -> None:
    name = name_of(settings)
    web = start(Web, settings)
    token = sign_up(web, 801401)
    app = create_app(settings)

    def set_read_only(value: str) -> None:
        with app.app_context(), db.engine.connect() as connection:
            connection = connection.execution_options(isolation_level="AUTOCOMMIT")
            connection.execute(text("SET default_transaction_read_only = off"))
            change = f"ALTER DATABASE {name} SET default_transaction_read_only = {value}"
            connection.execute(text(change))
        postgres.end_connections(name)

    set_read_only("on")
    for _ in range(12):  # by each process, though all their connections were cut
        ready = web.call("GET", "/health/ready")
        assert (ready.status_code, ready.json()["status"]) == (200, "degraded")
        assert "takes no writes" in ready.json()["checks"]["database"]["detail"]
        assert web.call("GET", "/api/user/status", token).status_code == 200
        answer = web.call("POST", "/auth/register", json=_somebody(801402))
        assert (answer.status_code, answer.json()["code"]) == (503, "dependency_away")
        assert answer.headers["Retry-After"]
    told = web.logged("the database takes no writes")
    assert 1 <= len(told) <= len(web.workers())  # one for each process, not for each request

    set_read_only("off")
    assert web.checks()["database"]["ok"]
    assert web.call("POST", "/auth/register", json=_somebody(801402)).status_code == 201
    assert sign_in(web, 801402)
    dispose(app)


def _somebody(telegram_id: int) -> dict[str, Any]:
    return {"username": f"u{telegram_id}", "password": PASSWORD, "telegram_id": telegram_id}
