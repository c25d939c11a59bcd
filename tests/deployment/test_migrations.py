"""Each migration moves a database with rows in it, up and down, on both databases."""

from __future__ import annotations

from pathlib import Path

import pytest
from flask_migrate import check, downgrade, upgrade
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from manga_backend.app import create_app
from manga_backend.kit.app import App
from manga_backend.kit.db import db
from tests.standins.telegram import BotApiStandIn
from tests.support import base_settings
from tools.services import PostgresServer


@pytest.fixture(params=["sqlite", "postgresql"])
def empty(
    request: pytest.FixtureRequest, tmp_path: Path, bot: BotApiStandIn, postgres: PostgresServer
) -> App:
    values = base_settings(tmp_path, bot)
    if request.param == "postgresql":
        name = f"migrations_{tmp_path.name.replace('-', '_').lower()}"
        values["DATABASE_URL"] = postgres.create_database(name)
    return create_app(values)


def add_notification(status: str) -> None:
    with db.engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO notifications (channel, kind, chat_id, text, priority, status,"
                " attempts, due_at, created_at) VALUES ('telegram', 'x', 5, 'words', 1, :status,"
                " 0, CURRENT_TIMESTAMP, CURRENT_TIMESTAMP)"
            ),
            {"status": status},
        )


def test_0002_knows_new_states_and_keeps_rows(empty: App) -> None:
    with empty.app_context():
        upgrade(revision="0001")
        add_notification("new")
        with pytest.raises(IntegrityError):
            add_notification("held")
        upgrade()
        check()  # SystemExit when the models know what the migrations do not make
        add_notification("held")
        with pytest.raises(IntegrityError):
            add_notification("nonsense")
        downgrade(revision="0001")
        with pytest.raises(IntegrityError):
            add_notification("held")
        upgrade()
        with db.engine.connect() as connection:
            found = connection.execute(text("SELECT status FROM notifications ORDER BY id"))
            assert found.scalars().all() == ["new", "dead"]
        for engine in db.engines.values():
            engine.dispose()
