"""Migrations of a large database hold nobody up: read by a linter, and run while requests run."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from alembic.script import ScriptDirectory
from flask_migrate import upgrade
from sqlalchemy import event

from manga_backend.app import create_app
from manga_backend.kit import migrating
from manga_backend.kit.app import App
from manga_backend.kit.db import db
from manga_backend.kit.settings import ROOT
from tests.deployment.processes import Web, eventually
from tests.deployment.test_workers import sign_in, sign_up
from tests.standins.telegram import BotApiStandIn
from tests.support import base_settings
from tests.variants import dispose
from tools.services import PostgresServer

BASE = "0012"
"""What stands before was never released: it is only run on databases without a row."""
ABOUT_LOCKS = (
    "require-lock-timeout",
    "constraint-missing-not-valid",
    "adding-foreign-key-constraint",
    "adding-field-with-default",
    "adding-not-nullable-field",
    "adding-required-field",
    "adding-serial-primary-key-field",
    "changing-column-type",
    "disallowed-unique-constraint",
    "ban-concurrent-index-creation-in-transaction",
    "require-concurrent-index-creation",
    "require-concurrent-index-deletion",
)
"""squawk's rules that say what blocks readers or writers of a table that has rows."""
CHANGES = ("CREATE", "ALTER", "DROP", "UPDATE", "DELETE", "SET")


@pytest.fixture
def app(
    request: pytest.FixtureRequest, tmp_path: Path, bot: BotApiStandIn, postgres: PostgresServer
) -> Iterator[App]:
    """On an empty database of PostgreSQL."""
    name = "migration_locks"
    values = base_settings(tmp_path, bot)
    found = create_app({**values, "DATABASE_URL": postgres.create_database(name)})
    yield found
    dispose(found)
    postgres.drop_database(name)


def as_script(said: list[str]) -> str:
    """With the transaction around what is not done beside it."""
    alone = [words for words in said if "CONCURRENTLY" in words]
    together = [words for words in said if words not in alone]
    return ";\n".join(["BEGIN", *together, "COMMIT", *alone]) + ";\n"


def complaints(files: list[Path]) -> list[str]:
    """What squawk says of them under these rules."""
    squawk = str(Path(sys.executable).with_name("squawk"))
    done = subprocess.run(
        [squawk, "--reporter=json", "--pg-version=15", *map(str, files)],
        capture_output=True,
        text=True,
        check=False,
    )
    found = json.loads(done.stdout)
    return [
        f"{Path(one['file']).stem}: {one['rule_name']}: {one['message']}"
        for one in found
        if one["rule_name"] in ABOUT_LOCKS
    ]


class TestLinter:
    def test_no_migration_blocks_a_large_table(self, app: App, tmp_path: Path) -> None:
        scripts = ScriptDirectory(str(ROOT / "migrations"))
        revisions = [script.revision for script in scripts.walk_revisions()][::-1]
        files, said = [], []
        with app.app_context():
            upgrade(revision=BASE)

            @event.listens_for(db.engine, "before_cursor_execute")
            def note(_c: Any, _cursor: Any, statement: str, *_: Any) -> None:
                words = statement.strip()
                if words.split()[0].upper() in CHANGES and "alembic_version" not in words:
                    said.append(words.rstrip(";"))

            for revision in revisions[revisions.index(BASE) + 1 :]:
                said.clear()
                upgrade(revision=revision)
                assert said[0].startswith("SET lock_timeout")
                file = tmp_path / f"{revision}.sql"
                file.write_text(as_script(said))
                files.append(file)
        assert len(files) >= 5
        assert complaints(files) == []

    @pytest.mark.parametrize(
        "words",
        [
            "CREATE INDEX ix_users_role ON users (role)",
            "ALTER TABLE users ADD CONSTRAINT ck_users_role CHECK (role <> '')",
            "ALTER TABLE users ALTER COLUMN role TYPE text",
            "ALTER TABLE users ADD COLUMN flag boolean NOT NULL",
        ],
    )
    def test_what_would_is_seen(self, tmp_path: Path, words: str) -> None:
        file = tmp_path / "bad.sql"
        file.write_text(as_script([migrating.LOCK_TIMEOUT, words]))
        assert len(complaints([file])) == 1


def test_a_table_in_use_is_waited_for_and_nobody_behind_it(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrating, "LOCK_TIMEOUT", "SET lock_timeout = '500ms'")
    monkeypatch.setattr(migrating, "PAUSE_SECONDS", 0.3)
    with app.app_context():
        upgrade(revision="0015")
        url = db.engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
    slow, quick = psycopg2.connect(url), psycopg2.connect(url)
    quick.autocommit = True
    slow.cursor().execute("SELECT count(*) FROM payments")  # and its transaction stays open

    def migrate() -> None:
        with app.app_context():
            upgrade()

    thread = threading.Thread(target=migrate)
    thread.start()
    waits = []
    for _ in range(20):
        began = time.monotonic()
        quick.cursor().execute("SELECT count(*) FROM payments")
        waits.append(time.monotonic() - began)
        time.sleep(0.1)
    assert thread.is_alive()
    slow.rollback()
    thread.join(20)
    assert not thread.is_alive()
    assert max(waits) < 1.5  # it waited for the migration's patience, not for its end
    cursor = quick.cursor()
    cursor.execute("SELECT version_num FROM alembic_version")
    assert cursor.fetchone() == (ScriptDirectory(str(ROOT / "migrations")).get_current_head(),)
    slow.close()
    quick.close()


ONE_PAYMENT = "UPDATE payments SET reason = 'x' WHERE id IN (SELECT id FROM payments LIMIT 1)"
SEED = """
INSERT INTO users (public_id, username, username_key, role, created_at)
SELECT gen_random_uuid(), 'r' || n, 'r' || n, 'user', now() FROM generate_series(1, {count}) n;
INSERT INTO invoices (id, user_id, product, item_code, item, title, fulfilment, amount, currency,
                      status, created_at, paid_at)
SELECT gen_random_uuid(), id, 'manga', 'monthly', '{{}}', 'Monthly', 'manga.days', 5000000, 'USDT',
       'paid', now(), now() FROM users WHERE username LIKE 'r%';
INSERT INTO payments (id, invoice_id, user_id, method, status, amount, currency, network, tx_hash,
                      submitted_at, decided_at)
SELECT gen_random_uuid(), id, user_id, 'crypto', 'approved', amount, currency, 'tron',
       md5(id::text) || md5(user_id::text), now(), now() FROM invoices;
INSERT INTO ledger_accounts (code, kind, currency, user_id, debits_posted, credits_posted,
                             debits_pending, credits_pending, created_at)
SELECT 'wallet:' || id, 'wallet', 'USDT', id, 0, 0, 0, 0, now() FROM users WHERE username LIKE 'r%';
ANALYZE;
"""


@pytest.mark.soak
@pytest.mark.timeout(1200)
def test_a_million_users_are_upgraded_while_requests_run(
    settings: dict[str, str], postgres: PostgresServer, start: Any, capsys: Any
) -> None:
    """From before Urgent orders, whose migrations change checks of payments and of the book. The
    readers' requests are those that the code of both sides of the upgrade can answer."""
    name = "migrated_million"
    values = {**settings, "DATABASE_URL": postgres.create_database(name), "PRODUCTS": "manga"}
    app = create_app(values)
    with app.app_context():
        upgrade(revision="0014")
    url = postgres.url(name).replace("+psycopg2", "")
    with psycopg2.connect(url) as seeding:
        seeding.cursor().execute(SEED.format(count=1_000_000))
    web = start(Web, values)
    token = sign_up(web, 800900)
    stop, faults, waits = threading.Event(), [], []

    def read() -> None:
        while not stop.is_set():
            began = time.monotonic()
            answer = web.call("GET", "/api/user/status", token)
            waits.append(time.monotonic() - began)
            if answer.status_code != 200:
                faults.append(answer.text)

    def write() -> None:
        """What a payment does to the large tables, as the code of before the upgrade does it."""
        with closing(psycopg2.connect(url)) as connection:
            connection.autocommit = True
            cursor = connection.cursor()
            while not stop.is_set():
                began = time.monotonic()
                cursor.execute(ONE_PAYMENT)
                cursor.execute("UPDATE users SET language = 'fa' WHERE id = 1")
                waits.append(time.monotonic() - began)

    threads = [threading.Thread(target=work) for work in (read, read, write)]
    for thread in threads:
        thread.start()
    eventually(lambda: len(waits) > 50)
    began = time.monotonic()
    with app.app_context():
        upgrade()
    took = time.monotonic() - began
    eventually(lambda: len(waits) > 100)
    stop.set()
    for thread in threads:
        thread.join(30)
    with capsys.disabled():
        print(  # noqa: T201
            f"\nupgraded 1,000,000 users in {took:.1f} s; {len(waits)} requests meanwhile, median"
            f" {statistics.median(waits) * 1000:.0f} ms, longest {max(waits) * 1000:.0f} ms,"
            f" failed {len(faults)}"
        )
    assert faults == []
    assert max(waits) < 5
    assert web.call("GET", "/health/ready").status_code == 200
    assert sign_in(web, 800900)
