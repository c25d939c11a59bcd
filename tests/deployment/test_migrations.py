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


def test_0016_knows_new_words_and_keeps_rows(empty: App) -> None:
    """Payments and the book have rows that point to each other: no table may be copied."""

    def account(kind: str, *, keep: bool = True) -> None:
        with db.engine.connect() as connection:
            connection.execute(
                text(
                    "INSERT INTO ledger_accounts (code, kind, currency, debits_posted,"
                    " credits_posted, debits_pending, credits_pending, created_at)"
                    " VALUES (:kind, :kind, 'XTR', 0, 0, 0, 0, CURRENT_TIMESTAMP)"
                ),
                {"kind": kind},
            )
            (connection.commit if keep else connection.rollback)()

    with empty.app_context():
        upgrade(revision="0013")
        account("received")
        account("revenue")
        with db.engine.begin() as connection:
            connection.execute(
                text(
                    "INSERT INTO users (public_id, username, username_key, role, created_at)"
                    " VALUES ('01a1fbd2027a77779a36d859180dffde', 'a', 'a', 'user',"
                    " CURRENT_TIMESTAMP)"
                )
            )
            connection.execute(
                text(
                    "INSERT INTO ledger_transfers (key, kind, state, debit_account_id,"
                    " credit_account_id, amount, currency, subject, created_at, settled_at)"
                    " SELECT 'k', 'sale', 'posted', min(id), max(id), 1, 'XTR', 'x',"
                    " CURRENT_TIMESTAMP, CURRENT_TIMESTAMP FROM ledger_accounts"
                )
            )
        with pytest.raises(IntegrityError):
            account("exchange")
        upgrade()
        account("exchange", keep=False)
        with pytest.raises(IntegrityError):
            account("nonsense")
        downgrade(revision="0013")
        with pytest.raises(IntegrityError):
            account("exchange")
        upgrade()
        with db.engine.connect() as connection:
            found = connection.execute(text("SELECT kind FROM ledger_accounts ORDER BY id"))
            assert found.scalars().all() == ["received", "revenue"]
            assert connection.scalar(text("SELECT count(*) FROM ledger_transfers")) == 1
        account("exchange")
        with pytest.raises(SystemExit):  # Flask-Migrate's way: the book is never rewritten
            downgrade(revision="0015")
        for engine in db.engines.values():
            engine.dispose()
