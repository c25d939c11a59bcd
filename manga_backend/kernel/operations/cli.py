"""`flask worker`, `flask live` and `flask backup …`"""

from __future__ import annotations

import json
import os
import signal
import sys
from dataclasses import asdict
from pathlib import Path

import click
from flask import current_app
from flask.cli import AppGroup, with_appcontext

from manga_backend.kernel.operations import jobs
from manga_backend.kernel.operations.errors import BackupFailed
from manga_backend.kernel.operations.runner import work
from manga_backend.kernel.operations.service import backups
from manga_backend.kernel.operations.service.doctor import examine
from manga_backend.kernel.operations.settings import BackupSettings
from manga_backend.kernel.operations.types import Backup
from manga_backend.kit import clock
from manga_backend.kit.db import one_snapshot, reading, transaction
from manga_backend.kit.leader import Stop
from manga_backend.kit.logging import masker
from manga_backend.kit.metrics_folder import count_together, folder_in_use
from manga_backend.kit.settings import ROOT, CoreSettings, settings


@click.command("worker")
@with_appcontext
def worker() -> None:
    """Run jobs from Redis, and sweep for what no wake-up told of; any number may run."""
    if not settings(CoreSettings).redis_url:
        raise click.ClickException(
            "REDIS_URL is not set: the web processes do this work themselves"
        )
    is_named = folder_in_use() is not None
    count_together(settings(CoreSettings).instance_path)
    if not is_named:  # it is read when the app is imported: begin again, with it
        os.execv(sys.executable, [sys.executable, "-m", "flask", "--app", "wsgi", "worker"])  # noqa: S606
    stop = Stop()

    def end(*_: object) -> None:
        stop.set()
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    work(current_app._get_current_object(), stop)  # type: ignore[attr-defined]


@click.command("live")
def live() -> None:
    """Stream events to those who listen, at LIVE_BIND; one for each machine is enough."""
    arguments = ["-m", "gunicorn", "-c", str(ROOT / "gunicorn.live.conf.py"), "wsgi:app"]
    os.chdir(ROOT)
    os.execv(sys.executable, [sys.executable, *arguments])  # noqa: S606


@click.command("doctor")
@with_appcontext
def doctor() -> None:
    """Look at everything that a deployment needs, and say what to do; exits 1 on any fault."""
    faults, last = 0, None
    for heading, finding in examine():
        if heading != last:
            click.echo(f"{heading}")
            last = heading
        click.echo(f"  {'ok   ' if finding.ok else 'FAULT'}  {masker.mask(finding.words)}")
        faults += not finding.ok
    click.echo("all in order" if not faults else f"{faults} to see to")
    if faults:
        raise SystemExit(1)


backup_group = AppGroup("backup", help="Copies of the database.")


@backup_group.command("create")
@with_appcontext
def create() -> None:
    """Write one file with the state of this moment, and forget the oldest."""
    try:
        backup = jobs.create_backup()
    except BackupFailed as failure:
        raise click.ClickException(str(failure)) from None
    rows = sum(backup.contents.rows.values())
    click.echo(f"{backup.file}: {rows} rows, {backup.size} bytes")
    for words in backup.contents.findings:
        click.echo(f"WRONG  {words}")


@backup_group.command("list")
@with_appcontext
def list_all() -> None:
    """What there is, newest first."""
    for backup in backups.list_backups(settings(BackupSettings).folder):
        rows = sum(backup.contents.rows.values())
        moment = clock.isoformat(backup.created_at)
        click.echo(f"{backup.file.name}  {moment}  {rows} rows  {backup.size} bytes")


@backup_group.command("send")
@click.argument("name", required=False)
@with_appcontext
def send(name: str | None) -> None:
    """Send an encrypted backup (the newest without NAME) to the log channel, in parts."""
    backup = _find_backup(name)
    try:
        jobs.send_backup(backup)
    except BackupFailed as failure:
        raise click.ClickException(str(failure)) from None
    click.echo(f"{backup.file.name} is sent.")


_identity = click.option(
    "--identity",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="A private key of age, where the backup is encrypted (BACKUP_IDENTITY).",
)


@backup_group.command("verify")
@click.argument("name", required=False)
@_identity
@with_appcontext
def verify(name: str | None, identity: Path | None) -> None:
    """Restore a backup (the newest without NAME) into a database that is thrown away: exits 1 and
    says what is not as it was."""
    backup = _find_backup(name)
    findings = jobs.verify_backup(backup, identity)
    for words in findings:
        click.echo(f"WRONG  {words}")
    if findings:
        raise SystemExit(1)
    rows = sum(backup.contents.rows.values())
    click.echo(f"{backup.file.name} was restored: {rows} rows, the book and the audit log hold.")


@backup_group.command("restore")
@click.argument("name", required=False)
@_identity
@with_appcontext
def restore(name: str | None, identity: Path | None) -> None:
    """Put a backup (the newest without NAME) into the database of DATABASE_URL, which must be
    empty, and prove it."""
    backup = _find_backup(name)
    try:
        findings = jobs.restore_backup(backup, identity)
    except BackupFailed as failure:
        raise click.ClickException(str(failure)) from None
    for words in findings:
        click.echo(f"WRONG  {words}")
    if findings:
        raise SystemExit(1)
    click.echo(f"{backup.file.name} is restored: the counts, the book and the audit log hold.")


@backup_group.command("contents", hidden=True)
@with_appcontext
def contents() -> None:
    """What this database holds, as JSON: for the proof of a copy."""
    with reading(), transaction():
        one_snapshot()
        found = backups.read_contents()
    click.echo(json.dumps(asdict(found)))


def _find_backup(name: str | None) -> Backup:
    """By the file's name, wherever it lies, or the newest."""
    folder = settings(BackupSettings).folder
    if name and Path(name).parent != Path("."):
        folder, name = Path(name).parent, Path(name).name
    for backup in backups.list_backups(folder):
        if name in (None, backup.file.name):
            return backup
    raise click.ClickException(f"there is no backup {name or ''} in {folder}")
