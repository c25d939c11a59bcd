"""Backups that are encrypted, and sent to the log channel."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pyrage
import pytest

from manga_backend.kernel.operations import jobs
from manga_backend.kernel.operations.errors import BackupFailed
from manga_backend.kernel.operations.service import backups
from manga_backend.kernel.operations.settings import BackupSettings
from manga_backend.kernel.telegram import jobs as telegram_jobs
from manga_backend.kit.settings import SettingsError, settings
from tests.conftest import Deployment
from tests.kernel.factories import make_reader
from tests.standins.telegram import BotApiStandIn
from tests.support import LOG_CHANNEL, Api
from tests.variants import variant, variant_api
from tools.services import PostgresServer

KEY = pyrage.x25519.Identity.generate()
OTHER = pyrage.x25519.Identity.generate()


@pytest.fixture
def shop(
    deployment: Deployment, bot: BotApiStandIn, postgres: PostgresServer, tmp_path: Path
) -> Iterator[Api]:
    """Whose backups are for KEY alone."""
    more = {
        "BACKUP_POSTGRES_BIN": str(postgres.installation.folder),
        "BACKUP_PATH": str(tmp_path / "backups"),
        "BACKUP_HOURS": "24",
        "BACKUP_ENCRYPT_TO": str(KEY.to_public()),
        "BACKUP_SEND": "1",
    }
    with variant_api(deployment, bot, **more) as api:
        make_reader(api)
        yield api


@pytest.fixture
def identity(tmp_path: Path) -> Path:
    """As age-keygen writes it."""
    file = tmp_path / "key.txt"
    file.write_text(f"# created: 2026-11-26\n# public key: {KEY.to_public()}\n{KEY}\n")
    return file


def folder_of(api: Api) -> Path:
    with api.app.app_context():
        return settings(BackupSettings).folder


def flask(api: Api, *arguments: str) -> tuple[int, str]:
    done = api.app.test_cli_runner().invoke(args=["backup", *arguments])
    return done.exit_code, done.output


class TestEncrypted:
    def test_is_proved_by_the_key_alone(self, shop: Api, identity: Path, tmp_path: Path) -> None:
        assert flask(shop, "create")[0] == 0
        folder = folder_of(shop)
        names = sorted(file.name for file in folder.iterdir())
        assert [name.partition(".")[2] for name in names] in (
            ["dump.age", "dump.age.json"],
            ["sqlite3.gz.age", "sqlite3.gz.age.json"],
        )
        sealed = (folder / names[0]).read_bytes()
        assert sealed.startswith(b"age-encryption.org/v1")
        assert b"PGDMP" not in sealed[:200]
        assert (folder / names[0]).stat().st_mode & 0o777 == 0o600

        code, words = flask(shop, "verify")
        assert code == 1
        assert "--identity" in words
        wrong = tmp_path / "wrong.txt"
        wrong.write_text(f"{OTHER}\n")
        assert flask(shop, "verify", "--identity", str(wrong))[0] == 1
        wrong.write_text("not a key\n")
        assert "no private key" in flask(shop, "verify", "--identity", str(wrong))[1]
        code, words = flask(shop, "verify", "--identity", str(identity))
        assert (code, "was restored" in words) == (0, True), words
        assert sorted(file.name for file in folder.iterdir()) == names

    def test_is_restored(
        self,
        shop: Api,
        identity: Path,
        deployment: Deployment,
        postgres: PostgresServer,
        tmp_path: Path,
    ) -> None:
        flask(shop, "create")
        if deployment.kind == "postgresql":
            url = postgres.create_database("restored_sealed")
        else:
            url = f"sqlite:///{tmp_path}/restored.sqlite3"
        more = {
            "DATABASE_URL": url,
            "BACKUP_PATH": str(folder_of(shop)),
            "BACKUP_POSTGRES_BIN": str(postgres.installation.folder),
            "BACKUP_IDENTITY": str(identity),
        }
        with variant(deployment.settings, **more) as app:
            done = app.test_cli_runner().invoke(args=["backup", "restore"])
        assert done.exit_code == 0, done.output
        assert "is restored" in done.output
        if deployment.kind == "postgresql":
            postgres.drop_database("restored_sealed")


def sent(bot: BotApiStandIn, after: int) -> list[tuple[str, bytes]]:
    """The files in the log channel since a message: names and contents."""
    documents = [
        message.document
        for message in bot.messages(LOG_CHANNEL)
        if message.document and message.message_id > after
    ]
    return [(str(one["file_name"]), bot.file(str(one["file_id"]))) for one in documents]


def last_id(bot: BotApiStandIn) -> int:
    return max((message.message_id for message in bot.messages(LOG_CHANNEL)), default=0)


class TestSent:
    def test_every_day_in_parts_that_go_together(
        self, shop: Api, bot: BotApiStandIn, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(telegram_jobs, "PART_BYTES", 10_000)
        before = last_id(bot)
        with shop.app.app_context():
            jobs.backup_when_due()
            (backup,) = backups.list_backups(folder_of(shop))
        found = sent(bot, before)
        *parts, (manifest, told) = found
        assert len(parts) > 1
        assert [name for name, _ in parts] == [
            f"{backup.file.name}.{number:03}" for number in range(1, len(parts) + 1)
        ]
        assert b"".join(content for _, content in parts) == backup.file.read_bytes()
        assert manifest == f"{backup.file.name}.json.age"
        assert json.loads(pyrage.decrypt(told, [KEY]))["sha256"] == backup.sha256
        captions = [m.text for m in bot.messages(LOG_CHANNEL) if m.message_id > before]
        assert f"1 / {len(parts)}" in captions[0]
        assert backup.sha256 in captions[0]

    def test_what_telegram_puts_off_comes_later(
        self, shop: Api, bot: BotApiStandIn, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(telegram_jobs, "PAUSE_SECONDS", 0.01)
        flask(shop, "create")
        before = last_id(bot)
        bot.fail_next("sendDocument", status=429, retry_after=1)
        bot.fail_next("sendDocument", status=500)
        code, words = flask(shop, "send")
        assert (code, "is sent" in words) == (0, True), words
        assert len(sent(bot, before)) == 2

    def test_what_telegram_refuses_is_said(
        self, shop: Api, bot: BotApiStandIn, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(telegram_jobs, "PAUSE_SECONDS", 0.01)
        flask(shop, "create")
        kicked = "bot was kicked from the channel chat"
        bot.fail_next("sendDocument", telegram_jobs.ATTEMPTS, status=403, description=kicked)
        code, words = flask(shop, "send")
        assert code == 1
        assert "does not take" in words

    def test_never_in_the_clear(self, deployment: Deployment, bot: BotApiStandIn) -> None:
        with pytest.raises(SettingsError, match="what leaves a machine is encrypted"):
            variant(deployment.settings, BACKUP_SEND="1").__enter__()
        with pytest.raises(SettingsError, match="no public key of age"):
            variant(deployment.settings, BACKUP_ENCRYPT_TO="age1nonsense").__enter__()

    def test_a_plain_one_of_before_stays_here(
        self, deployment: Deployment, postgres: PostgresServer, tmp_path: Path
    ) -> None:
        more = {
            "BACKUP_POSTGRES_BIN": str(postgres.installation.folder),
            "BACKUP_PATH": str(tmp_path / "backups"),
        }
        with variant(deployment.settings, **more) as app:
            assert app.test_cli_runner().invoke(args=["backup", "create"]).exit_code == 0
            with app.app_context():
                (plain,) = backups.list_backups(settings(BackupSettings).folder)
        more["BACKUP_ENCRYPT_TO"] = str(KEY.to_public())
        refused = pytest.raises(BackupFailed, match="not encrypted")
        with variant(deployment.settings, **more) as app, app.app_context(), refused:
            jobs.send_backup(plain)
