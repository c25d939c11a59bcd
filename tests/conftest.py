"""Real PostgreSQL and SQLite, a Bot API stand-in, and an app for each database.

Tests commit for real and each starts from an empty, migrated database: what is proven about
commits, threads and other processes is then proven on the very same footing.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from flask_migrate import upgrade
from hypothesis import settings as hypothesis_settings
from sqlalchemy import insert, select, text

from manga_backend.app import create_app
from manga_backend.kit import alarms, clock, jobs, ratelimit
from manga_backend.kit.app import App
from manga_backend.kit.db import Model, db
from tests.standins.telegram import BotApiStandIn
from tests.support import ADMIN_IDS, LOG_CHANNEL, Api, base_settings
from tools.services import PostgresServer, RedisServer

# No test is timed: a busy machine is not a fault (its default is 200 ms for each example).
hypothesis_settings.register_profile("untimed", deadline=None)
hypothesis_settings.load_profile("untimed")

SEEDED = Model.metadata.tables["plans"]
"""What the migrations fill: put back as they made it."""


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Redis is away in tests where it was stopped, not where this machine is slow."""
    monkeypatch.setattr(jobs, "REDIS_PATIENCE_SECONDS", 20)
    monkeypatch.setattr(ratelimit, "REDIS_PATIENCE_SECONDS", 20)


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Faults that tests provoke are told to no admin, but where that is what is tested."""
    monkeypatch.setattr(alarms.bell, "level", logging.CRITICAL + 1)
    monkeypatch.setattr(clock, "watch", clock.Watch())  # the last test may have moved the clock


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """One private server for each test process."""
    with PostgresServer() as server:
        yield server


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """One private server for each test process."""
    with RedisServer() as server:
        yield server


@pytest.fixture(scope="session")
def bot() -> Iterator[BotApiStandIn]:
    """Telegram: anyone may be written to, as if all had pressed Start."""
    with BotApiStandIn(open_chats=True) as stand_in:
        for chat in ADMIN_IDS:
            stand_in.add_person(chat, first_name=f"Admin {chat}", language_code="en")
        stand_in.add_group(LOG_CHANNEL, "Log", "channel")
        yield stand_in


@dataclass
class Deployment:
    """A migrated database and the app that serves it."""

    app: App
    kind: str
    settings: dict[str, str]
    clean_copy: Path | None = None
    seeds: list[dict[str, Any]] | None = None

    def reset(self) -> None:
        """Back to what the migrations made."""
        with self.app.app_context():
            if self.kind == "postgresql":
                self._empty_tables()
            else:
                self._restore_file()

    def _empty_tables(self) -> None:
        wipe = "; ".join(f'DELETE FROM "{name}"' for name in Model.metadata.tables)
        with db.engine.begin() as connection:
            if self.seeds is None:  # the first time, before any test has run on it
                self.seeds = [dict(row) for row in connection.execute(select(SEEDED)).mappings()]
            # Triggers and foreign keys rest meanwhile: the audit log refuses to be emptied.
            connection.execute(text(f"SET LOCAL session_replication_role = replica; {wipe}"))
            connection.execute(insert(SEEDED), self.seeds)

    def _restore_file(self) -> None:
        assert self.clean_copy is not None
        for engine in db.engines.values():
            engine.dispose()
        file = Path(self.settings["INSTANCE_PATH"]) / "manga.sqlite3"
        for suffix in ("-wal", "-shm"):
            file.with_name(file.name + suffix).unlink(missing_ok=True)
        shutil.copy(self.clean_copy, file)


def migrate(app: App) -> None:
    """To the newest revision."""
    with app.app_context():
        upgrade()


@pytest.fixture(scope="session")
def postgres_template(
    postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory, bot: BotApiStandIn
) -> str:
    """The name of a migrated database to clone."""
    postgres.create_database("template_migrated")
    values = base_settings(tmp_path_factory.mktemp("template"), bot)
    app = create_app({**values, "DATABASE_URL": postgres.url("template_migrated")})
    migrate(app)
    with app.app_context():
        for engine in db.engines.values():
            engine.dispose()
    return "template_migrated"


@pytest.fixture(scope="session")
def on_postgres(
    postgres: PostgresServer,
    postgres_template: str,
    tmp_path_factory: pytest.TempPathFactory,
    bot: BotApiStandIn,
) -> Deployment:
    """An app on PostgreSQL, without Redis."""
    postgres.create_database("app", template=postgres_template)
    values = base_settings(tmp_path_factory.mktemp("postgres"), bot)
    values["DATABASE_URL"] = postgres.url("app")
    return Deployment(create_app(values), "postgresql", values)


@pytest.fixture(scope="session")
def on_sqlite(tmp_path_factory: pytest.TempPathFactory, bot: BotApiStandIn) -> Deployment:
    """An app on SQLite: the embedded default."""
    folder = tmp_path_factory.mktemp("sqlite")
    values = base_settings(folder, bot)
    app = create_app(values)
    migrate(app)
    with app.app_context():
        for engine in db.engines.values():
            engine.dispose()
    copy = folder / "clean.sqlite3"
    shutil.copy(folder / "manga.sqlite3", copy)
    return Deployment(app, "sqlite", values, copy)


@pytest.fixture(params=["sqlite", "postgresql"])
def deployment(request: pytest.FixtureRequest, bot: BotApiStandIn) -> Deployment:
    """Each test runs on both databases; what was pressed in the one before is not delivered."""
    bot.forget_updates()
    name = "on_sqlite" if request.param == "sqlite" else "on_postgres"
    found: Deployment = request.getfixturevalue(name)
    found.reset()
    return found


@pytest.fixture
def app(deployment: Deployment) -> App:
    """The app of this test's database."""
    return deployment.app


@pytest.fixture
def pg_app(on_postgres: Deployment, bot: BotApiStandIn) -> App:
    """PostgreSQL alone: for what only many connections at once can show."""
    bot.forget_updates()
    on_postgres.reset()
    return on_postgres.app


@pytest.fixture
def api(app: App, bot: BotApiStandIn) -> Api:
    """What a front-end developer, a reader and an admin do."""
    return Api(app, bot)


@pytest.fixture
def pg_api(pg_app: App, bot: BotApiStandIn) -> Api:
    """The same on PostgreSQL alone."""
    return Api(pg_app, bot)
