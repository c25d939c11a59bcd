"""Backups: made while people work, proved by restoring, put back, forgotten in time."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import time_machine
from click.testing import Result
from flask_migrate import upgrade
from sqlalchemy import text

from manga_backend.kernel.identity.models import User
from manga_backend.kernel.identity.types import Role
from manga_backend.kernel.money.coupons.types import CreditGift
from manga_backend.kernel.operations import clients, jobs
from manga_backend.kernel.operations.errors import BackupFailed
from manga_backend.kernel.operations.service import backups
from manga_backend.kernel.operations.settings import BackupSettings
from manga_backend.kit import clock
from manga_backend.kit.db import db
from manga_backend.kit.settings import settings
from tests.conftest import Deployment
from tests.kernel.backoffice.test_panel import Panel
from tests.kernel.factories import count, make_reader
from tests.kernel.money.payments.test_wallet import make
from tests.standins.telegram import BotApiStandIn
from tests.support import Api, at_once
from tests.variants import variant, variant_api
from tools.services import PostgresServer


@pytest.fixture
def shop(
    deployment: Deployment, bot: BotApiStandIn, postgres: PostgresServer, tmp_path: Path
) -> Iterator[Api]:
    """With users, money in wallets and an audit log."""
    programs = {"BACKUP_POSTGRES_BIN": str(postgres.installation.folder)}
    folder = {"BACKUP_PATH": str(tmp_path / "backups"), "BACKUP_KEEP": "1", "BACKUP_HOURS": "24"}
    with variant_api(deployment, bot, **programs, **folder) as api:
        reader = make_reader(api)
        reader.post("/payment/submit", {"coupon_code": make(api, CreditGift(7_000_000, "USDT"))})
        reader.post("/payment/wallet", {})
        panel = Panel(api, api.staff(Role.SUPERUSER).username)
        panel.post(f"/admin/users/role/{api.user_id(reader)}", role="support")
        yield api


def flask(api: Api, *arguments: str) -> Result:
    return api.app.test_cli_runner().invoke(args=["backup", *arguments])


def folder_of(api: Api) -> Path:
    with api.app.app_context():
        return settings(BackupSettings).folder


def files(api: Api) -> list[str]:
    folder = folder_of(api)
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


class TestCreate:
    def test_holds_every_row_and_proves_itself(self, shop: Api) -> None:
        done = flask(shop, "create")
        assert done.exit_code == 0, done.output
        (manifest,) = [name for name in files(shop) if name.endswith(".json")]
        told = json.loads((folder_of(shop) / manifest).read_text())
        assert told["rows"]["users"] == 2
        assert told["rows"]["ledger_transfers"] == 2
        assert told["rows"]["audit_entries"] >= 1
        assert told["findings"] == []
        assert flask(shop, "list").output.count("rows") == 1
        verified = flask(shop, "verify")
        assert verified.exit_code == 0, verified.output
        assert "was restored" in verified.output

    def test_nobody_else_may_read_it(self, shop: Api) -> None:
        flask(shop, "create")
        folder = folder_of(shop)
        assert folder.stat().st_mode & 0o077 == 0
        assert all((folder / name).stat().st_mode & 0o077 == 0 for name in files(shop)[:1])

    def test_of_one_moment_while_people_work(self, shop: Api) -> None:
        readers = [make_reader(shop) for _ in range(3)]

        def act(number: int) -> bool:
            if number == 0:
                return flask(shop, "create").exit_code == 0
            answer = readers[number - 1].post(
                "/payment/submit", {"coupon_code": make(shop, CreditGift(1_000_000, "USDT"))}
            )
            return bool(answer.status_code == 200)

        assert all(at_once(4, act))
        assert flask(shop, "verify").exit_code == 0

    def test_keeps_the_newest(self, shop: Api) -> None:
        start = clock.now()
        for day in range(2):
            with time_machine.travel(start + timedelta(days=day)):
                assert flask(shop, "create").exit_code == 0
        with shop.app.app_context():
            kept = backups.list_backups(folder_of(shop))
        assert [backup.created_at > start + timedelta(hours=23) for backup in kept] == [True]
        assert len(files(shop)) == 2

    def test_what_fails_leaves_nothing_behind(
        self, shop: Api, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        with shop.app.app_context():
            nowhere = "postgresql://nobody@127.0.0.1:1/nothing"
            with pytest.raises(BackupFailed):
                clients.dump(
                    nowhere, tmp_path / "x.dump", None, settings(BackupSettings).postgres_bin
                )
            with pytest.raises(BackupFailed, match="there is no pg_dump"):
                clients.dump(nowhere, tmp_path / "x.dump", None, tmp_path)
            with pytest.raises(BackupFailed):
                clients.dump(f"sqlite:///{tmp_path}", tmp_path / "x.sqlite3.gz", None, None)

        def fail(*_: object) -> None:
            raise BackupFailed("the disk is full")

        monkeypatch.setattr(clients, "dump", fail)
        done = flask(shop, "create")
        assert (done.exit_code, "the disk is full" in done.output) == (1, True)
        assert files(shop) == []


class TestVerify:
    def test_a_changed_byte_is_seen(self, shop: Api) -> None:
        flask(shop, "create")
        (name,) = [name for name in files(shop) if not name.endswith(".json")]
        file = folder_of(shop) / name
        content = bytearray(file.read_bytes())
        content[len(content) // 2] ^= 1
        file.write_bytes(content)
        done = flask(shop, "verify")
        assert (done.exit_code, "not the one that was written" in done.output) == (1, True)
        with shop.app.app_context(), pytest.raises(BackupFailed):
            jobs.restore_backup(backups.list_backups(folder_of(shop))[0])

    def test_missing_rows_are_seen(self, shop: Api) -> None:
        flask(shop, "create")
        (name,) = [name for name in files(shop) if name.endswith(".json")]
        manifest = folder_of(shop) / name
        told = json.loads(manifest.read_text())
        told["rows"]["users"] += 1
        manifest.write_text(json.dumps(told))
        done = flask(shop, "verify")
        assert (done.exit_code, "users: 3 rows, 2 restored" in done.output) == (1, True)

    def test_without_any_it_says_so(self, shop: Api) -> None:
        done = flask(shop, "verify")
        assert (done.exit_code, "there is no backup" in done.output) == (1, True)


class TestRestore:
    def test_into_an_empty_database_gives_the_same(
        self,
        shop: Api,
        deployment: Deployment,
        bot: BotApiStandIn,
        postgres: PostgresServer,
        tmp_path: Path,
    ) -> None:
        flask(shop, "create")
        (name,) = [name for name in files(shop) if not name.endswith(".json")]
        if deployment.kind == "postgresql":
            empty = postgres.create_database(f"restored_{tmp_path.name.replace('-', '_').lower()}")
        else:
            empty = f"sqlite:///{tmp_path}/restored.sqlite3"
        values = {
            "DATABASE_URL": empty,
            "BACKUP_POSTGRES_BIN": str(postgres.installation.folder),
        }
        with variant_api(deployment, bot, **values) as fresh:
            done = flask(fresh, "restore", str(folder_of(shop) / name))
            assert done.exit_code == 0, done.output
            assert "is restored" in done.output
            assert count(fresh.app, User) == count(shop.app, User)
            checked = fresh.app.test_cli_runner().invoke(args=["ledger", "check"])
            assert "It adds up." in checked.output
            verified = fresh.app.test_cli_runner().invoke(args=["audit", "verify"])
            assert "The chain holds." in verified.output
            again = flask(fresh, "restore", str(folder_of(shop) / name))
            assert (again.exit_code, "not empty" in again.output) == (1, True)

    def test_a_full_database_is_never_touched(self, shop: Api) -> None:
        flask(shop, "create")
        done = flask(shop, "restore")
        assert (done.exit_code, "not empty" in done.output) == (1, True)


class TestSchedule:
    def test_makes_one_and_readiness_says_how_old_it_is(self, shop: Api) -> None:
        with shop.app.app_context():
            assert backups.check_backups().detail == "none yet"
            jobs.backup_when_due()
            assert backups.check_backups().ok
            with time_machine.travel(clock.now() + timedelta(hours=49)):
                found = backups.check_backups()
            assert (found.ok, "49 h old" in found.detail) == (False, True)

    def test_none_when_none_are_wanted(
        self, deployment: Deployment, bot: BotApiStandIn, tmp_path: Path
    ) -> None:
        values = {"BACKUP_HOURS": "0", "BACKUP_PATH": str(tmp_path / "backups")}
        with variant_api(deployment, bot, **values) as api, api.app.app_context():
            jobs.backup_when_due()
            assert backups.check_backups().detail == "none are wanted"
            assert files(api) == []


def test_an_unbalanced_book_is_said_and_kept(shop: Api, deployment: Deployment) -> None:
    with shop.app.app_context(), db.engine.begin() as connection:
        guards = "DROP TRIGGER {}" if deployment.kind == "sqlite" else "SELECT '{}'"
        if deployment.kind == "postgresql":
            connection.execute(text("SET LOCAL session_replication_role = replica"))
        else:
            names = connection.execute(
                text(
                    "SELECT name FROM sqlite_master"
                    " WHERE type = 'trigger' AND tbl_name = 'ledger_accounts'"
                )
            ).scalars()
            for name in list(names):
                connection.execute(text(guards.format(name)))
        connection.execute(
            text("UPDATE ledger_accounts SET credits_posted = credits_posted + 1 WHERE user_id > 0")
        )
    done = flask(shop, "create")
    assert done.exit_code == 0
    assert "WRONG  ledger" in done.output
    verified = flask(shop, "verify")
    assert verified.exit_code == 0, verified.output  # the copy is as wrong as the original


def test_new_code_backs_up_what_it_is_about_to_migrate(
    deployment: Deployment, postgres: PostgresServer, tmp_path: Path
) -> None:
    """`deploy/update` does: 0014 has none of the tables of Urgent orders."""
    url = f"sqlite:///{tmp_path}/old.sqlite3"
    if deployment.kind == "postgresql":
        url = postgres.create_database("older_than_its_code")
    values = {
        "DATABASE_URL": url,
        "BACKUP_PATH": str(tmp_path / "backups"),
        "BACKUP_POSTGRES_BIN": str(postgres.installation.folder),
    }
    with variant(deployment.settings, **values) as app:
        with app.app_context():
            upgrade(revision="0014")
        made = app.test_cli_runner().invoke(args=["backup", "create"])
        assert made.exit_code == 0, made.output
        verified = app.test_cli_runner().invoke(args=["backup", "verify"])
        assert verified.exit_code == 0, verified.output
        with app.app_context():
            (backup,) = backups.list_backups(settings(BackupSettings).folder)
    assert backup.contents.revision == "0014"
    assert "urgent_orders" not in backup.contents.rows
    if deployment.kind == "postgresql":
        postgres.drop_database("older_than_its_code")
