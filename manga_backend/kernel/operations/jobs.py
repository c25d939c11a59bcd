"""Making a backup, proving one, and putting one back."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from pathlib import Path

from manga_backend.kernel.operations import clients
from manga_backend.kernel.operations.errors import BackupFailed
from manga_backend.kernel.operations.service import backups
from manga_backend.kernel.operations.settings import BackupSettings
from manga_backend.kernel.operations.types import Backup, Contents
from manga_backend.kit import clock
from manga_backend.kit.db import one_snapshot, reading, transaction
from manga_backend.kit.settings import ROOT, CoreSettings, Origin, settings

log = logging.getLogger(__name__)

BACKUP = "operations.backup"
PROVE_SECONDS = 3600


def create_backup() -> Backup:
    """One file with the state of one moment, and what it holds; then forget old ones. BackupFailed
    leaves nothing behind."""
    config, core = settings(BackupSettings), settings(CoreSettings)
    config.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    now = clock.now()
    file = config.folder / (now.strftime(backups.NAMED) + clients.suffix_of(core.database_url))
    unfinished = file.with_name(f"{file.name}.part")
    try:
        with reading(), transaction():
            one_snapshot()
            contents = backups.read_contents()
            url, snapshot = core.direct_url, backups.snapshot_id()
            clients.dump(url, unfinished, snapshot, config.postgres_bin)
        if url.startswith("sqlite"):
            contents = _contents_of(unfinished)  # of the copy: writers went on meanwhile
        if config.recipients:
            encrypted = file.with_name(f"{file.name}{clients.ENCRYPTED}")
            clients.encrypt(unfinished, unfinished.with_suffix(".sealed"), config.recipients)
            unfinished.with_suffix(".sealed").replace(unfinished)
            file = encrypted
        unfinished.chmod(0o600)
        unfinished.replace(file)
    finally:
        unfinished.unlink(missing_ok=True)
        unfinished.with_suffix(".sealed").unlink(missing_ok=True)
    backup = backups.describe(file, contents, now)
    for gone in backups.prune(config.folder, config.keep):
        log.info("forgot the backup %s", gone.name)
    return backup


def backup_when_due() -> None:
    """The schedule's: a failure is told to the admins."""
    config = settings(BackupSettings)
    if config.every is not None:
        backup = create_backup()
        log.info("backup %s", backup.file.name)
        if config.send:
            send_backup(backup)


def send_backup(backup: Backup) -> None:
    """Bring an encrypted backup, and what it holds, to every place that is registered for it.
    BackupFailed; may run twice."""
    config = settings(BackupSettings)
    if backup.file.suffix != clients.ENCRYPTED or not config.recipients:
        raise BackupFailed("it is not encrypted: set BACKUP_ENCRYPT_TO and make one anew")
    manifest = backup.file.with_name(backup.file.name + backups.MANIFEST)
    told = clients.encrypt_bytes(manifest.read_bytes(), config.recipients)
    places = list(backups.carriers.items())
    if not places:
        raise BackupFailed("nothing is there that could carry it away")
    for name, carry in places:
        carry(backup, manifest.name + clients.ENCRYPTED, told)
        log.info("backup %s was sent by %s", backup.file.name, name)


def verify_backup(backup: Backup, identity: Path | None = None) -> list[str]:
    """Restore it into a database that is thrown away, and compare: what is wrong with it."""
    if backups.sha256_of(backup.file) != backup.sha256:
        return ["the file is not the one that was written"]
    try:
        with clients.opened(backup.file, identity or settings(BackupSettings).identity) as plain:
            return backups.differences(backup.contents, _contents_of(plain))
    except BackupFailed as failure:
        return [str(failure)]


def restore_backup(backup: Backup, identity: Path | None = None) -> list[str]:
    """Put it into this deployment's database, which must be empty; what is wrong afterwards.
    BackupFailed."""
    config, url = settings(BackupSettings), settings(CoreSettings).direct_url
    if backups.sha256_of(backup.file) != backup.sha256:
        raise BackupFailed("the file is not the one that was written")
    if not backups.is_empty():
        raise BackupFailed("the database is not empty: name a new one in DATABASE_URL")
    backups.disconnect()
    with clients.opened(backup.file, identity or config.identity) as plain:
        clients.restore(plain, url, config.postgres_bin)
    return backups.differences(backup.contents, prove(url))


def _contents_of(file: Path) -> Contents:
    config, url = settings(BackupSettings), settings(CoreSettings).direct_url
    with clients.scratch_database(url) as scratch:
        clients.restore(file, scratch, config.postgres_bin)
        return prove(scratch)


def prove(url: str) -> Contents:
    """Ask an app of its own what a database holds: `flask backup contents`. BackupFailed."""
    quiet = {
        "DATABASE_URL": url,
        "DATABASE_DIRECT_URL": "",
        "DATABASE_REPLICA_URL": "",
        "TELEGRAM_MODE": "off",
        "LOG_LEVEL": "error",
        "REDIS_URL": "",
    }
    done = subprocess.run(
        [sys.executable, "-m", "flask", "--app", "wsgi", "backup", "contents"],
        cwd=ROOT,
        env={"PATH": os.defpath, **settings(Origin).values, **quiet},
        capture_output=True,
        text=True,
        timeout=PROVE_SECONDS,
        check=False,
    )
    if done.returncode:
        raise BackupFailed(" ".join(done.stderr.split())[-500:])
    told = json.loads(done.stdout)
    return Contents(told["revision"], told["rows"], told["findings"])
