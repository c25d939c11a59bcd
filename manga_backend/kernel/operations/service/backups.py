"""What a backup holds, and which are kept."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from datetime import datetime
from pathlib import Path

from alembic.runtime.migration import MigrationContext
from sqlalchemy import func, inspect, select, text

from manga_backend.kernel.operations.service.health import newest_revision
from manga_backend.kernel.operations.settings import BackupSettings
from manga_backend.kernel.operations.types import Backup, Carry, Check, Contents, Proof
from manga_backend.kit import clock
from manga_backend.kit.db import db, rollback, session
from manga_backend.kit.registry import Registry
from manga_backend.kit.settings import settings

proofs: Registry[Proof] = Registry("operations.proofs")
"""Invariants of the data that a copy of it must keep."""

carriers: Registry[Carry] = Registry("operations.carriers")
"""Who brings encrypted backups away from this machine, by the name of the place."""

NAMED = "manga-%Y%m%d-%H%M%S"
MANIFEST = ".json"
"""Beside each file; written last, so that a file without one is no backup."""


def read_contents() -> Contents:
    """Count every table and prove what is registered, in the running transaction.

    New code also backs up what it is about to migrate: it counts the tables that are there, and
    proves only what has the shape that it knows.
    """
    current = session()
    connection = current.connection()
    there = set(inspect(connection).get_table_names())
    rows = {
        table.name: current.scalar(select(func.count()).select_from(table)) or 0
        for table in db.metadata.sorted_tables
        if table.name in there
    }
    revision = MigrationContext.configure(connection).get_current_revision()
    findings = []
    if revision == newest_revision():
        findings = [f"{name}: {words}" for name, proof in proofs.items() for words in proof()]
    return Contents(revision, rows, findings)


def snapshot_id() -> str | None:
    """Of the running transaction, for another program that reads the same state; None on SQLite."""
    current = session()
    if current.get_bind().dialect.name != "postgresql":
        return None
    return str(current.scalar(text("SELECT pg_export_snapshot()")))


def describe(file: Path, contents: Contents, created_at: datetime) -> Backup:
    """Write the manifest of a finished file: from now on it is a backup."""
    backup = Backup(file, created_at, file.stat().st_size, sha256_of(file), contents)
    told = {
        "created_at": clock.isoformat(created_at),
        "size": backup.size,
        "sha256": backup.sha256,
        **asdict(contents),
    }
    unfinished = file.with_name(f"{file.name}{MANIFEST}.part")
    unfinished.write_text(json.dumps(told, indent=1) + "\n")
    unfinished.replace(file.with_name(file.name + MANIFEST))
    return backup


def list_backups(folder: Path) -> list[Backup]:
    """Newest first; files without a manifest are none."""
    found = []
    for manifest in folder.glob(f"manga-*{MANIFEST}"):
        told = json.loads(manifest.read_text())
        found.append(
            Backup(
                file=manifest.with_name(manifest.name.removesuffix(MANIFEST)),
                created_at=datetime.fromisoformat(told["created_at"]),
                size=told["size"],
                sha256=told["sha256"],
                contents=Contents(told["revision"], told["rows"], told["findings"]),
            )
        )
    return sorted(found, key=lambda backup: backup.created_at, reverse=True)


def prune(folder: Path, keep: int) -> list[Path]:
    """Forget all but the newest, and what was left unfinished a day ago. May run twice."""
    gone = [backup.file for backup in list_backups(folder)[keep:]]
    for file in gone:
        file.with_name(file.name + MANIFEST).unlink(missing_ok=True)  # first: then it is no backup
        file.unlink(missing_ok=True)
    return gone


def sha256_of(file: Path) -> str:
    """Read in pieces."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def differences(wanted: Contents, found: Contents) -> list[str]:
    """What a restored copy has otherwise than the database had."""
    lines = [
        f"{table}: {count} rows, {found.rows.get(table, 0)} restored"
        for table, count in wanted.rows.items()
        if found.rows.get(table, 0) != count
    ]
    if wanted.revision != found.revision:
        lines.append(f"at migration {wanted.revision}, restored at {found.revision}")
    return lines + [words for words in found.findings if words not in wanted.findings]


def check_backups() -> Check:
    """Red when the newest is older than twice the time between two."""
    config = settings(BackupSettings)
    if config.every is None:
        return Check(True, "none are wanted")
    newest = next(iter(list_backups(config.folder)), None)
    if newest is None:
        return Check(True, "none yet")
    age = clock.now() - newest.created_at
    words = f"{newest.file.name}, {int(age.total_seconds()) // 3600} h old"
    return Check(age <= 2 * config.every, words)


def is_empty() -> bool:
    """Whether the database has no table at all."""
    return not inspect(db.engine).get_table_names()


def disconnect() -> None:
    """Close this process's connections: the database is about to become another one."""
    rollback()
    for engine in db.engines.values():
        engine.dispose()
