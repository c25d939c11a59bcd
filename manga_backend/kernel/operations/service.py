"""Readiness: each part of the deployment is asked, none may hang or raise. Who hears alarms.
Changing settings while the app runs. What a backup holds, and which are kept."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from functools import cache, partial
from pathlib import Path

from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from persiantools.digits import fa_to_en
from redis import RedisError
from sqlalchemy import delete, func, inspect, select, text
from sqlalchemy.exc import SQLAlchemyError

from manga_backend.kernel.backoffice.service import record_audit
from manga_backend.kernel.backoffice.types import Actor
from manga_backend.kernel.operations import queries
from manga_backend.kernel.operations.models import ChangedSetting
from manga_backend.kernel.operations.settings import BackupSettings
from manga_backend.kernel.operations.types import Backup, Check, Checker, Contents, Proof
from manga_backend.kit import clock
from manga_backend.kit.alarms import Alarm, Tell
from manga_backend.kit.db import READS, after_commit, db, rollback, serialize_on, session
from manga_backend.kit.jobs import broker
from manga_backend.kit.leader import Duty
from manga_backend.kit.problems import InvalidInput
from manga_backend.kit.registry import Registry
from manga_backend.kit.settings import (
    ROOT,
    SettingsError,
    in_force,
    refresh,
    settings,
    with_changes,
)

log = logging.getLogger(__name__)

checks: Registry[Checker] = Registry("operations.checks")

sweepers: Registry[Duty] = Registry("operations.sweepers")
"""Loops that a worker runs beside its jobs: they find what no wake-up told of."""

alarm_sinks: Registry[Tell] = Registry("operations.alarm_sinks")
"""Who tells people of faults (kit/alarms.py); a sink waits and tries again by itself."""


def readiness() -> dict[str, Check]:
    """Every registered check, by name; a check that raises is red with its reason."""
    found: dict[str, Check] = {}
    for name, check in checks.items():
        try:
            found[name] = check()
        except Exception as error:
            log.exception("readiness check %s failed", name)
            found[name] = Check(False, f"the check itself failed: {type(error).__name__}")
    return found


def check_database() -> Check:
    """One statement on the engine that also checks sessions."""
    try:
        with db.engines[READS].connect() as connection:
            connection.execute(text("SELECT 1"))
    except SQLAlchemyError as error:
        return Check(False, f"away: {type(error).__name__}", vital=True)
    return Check(True, "answers", vital=True)


@cache
def _revisions() -> tuple[str | None, frozenset[str]]:
    """The newest migration and all of them; they come with the code, so they are read once."""
    scripts = ScriptDirectory(str(ROOT / "migrations"))
    return scripts.get_current_head(), frozenset(s.revision for s in scripts.walk_revisions())


def check_migrations() -> Check:
    """The database is at the newest migration of this code."""
    newest, known = _revisions()
    try:
        with db.engines[READS].connect() as connection:
            current = MigrationContext.configure(connection).get_current_revision()
    except SQLAlchemyError as error:
        return Check(False, f"unknown: {type(error).__name__}", vital=True)
    if current is not None and current not in known:
        return Check(True, f"at {current}, newer than this code: being rolled out", vital=True)
    if current != newest:
        words = f"at {current}, this code needs {newest}: run `flask --app wsgi db upgrade`"
        return Check(False, words, vital=True)
    return Check(True, f"at {current}", vital=True)


def check_redis() -> Check:
    """Redis, where one is set."""
    redis_broker = broker()
    if redis_broker is None:
        return Check(True, "not used: embedded mode")
    try:
        redis_broker.connection.ping()
    except RedisError as error:
        return Check(False, f"away: {type(error).__name__}; messages wait for the sweeper")
    return Check(True, "answers")


def sound(alarm: Alarm) -> None:
    """Hand one fault to every sink; run by the alarm thread."""
    for _name, tell in alarm_sinks.items():
        tell(alarm)


# ---- settings that may change ------------------------------------------------------------------

changeable: Registry[str] = Registry("operations.changeable")
"""Settings that may be changed in the panel, by their names in the environment; with what they
mean, to be translated."""


def _without(changes: Mapping[str, str], name: str) -> dict[str, str]:
    return {other: value for other, value in changes.items() if other != name}


def change_setting(name: str, typed: str, actor: Actor) -> bool:
    """From now on this value wins over the environment's; empty: the environment's counts again.
    False when nothing changes. Other processes follow within kit.settings.REFRESH_SECONDS.

    InvalidInput with what is wrong with it, beside the others as they are. Audited.
    """
    if name not in dict(changeable.items()):
        raise InvalidInput({"name": [name]})
    serialize_on("changed_settings")
    changes = {row.name: row.value for row in queries.list_changed().values()}
    before = changes.get(name, "")
    value = fa_to_en(typed.strip())
    if value == before:
        return False
    try:
        with_changes({**in_force(), name: value} if value else _without(in_force(), name))
    except SettingsError as error:
        words = [f"{named}: {problem}" for named, problem in error.problems.items()]
        raise InvalidInput({"value": words}) from None
    current = session()
    current.execute(delete(ChangedSetting).where(ChangedSetting.name == name))
    if value:
        current.add(
            ChangedSetting(
                name=name, value=value, changed_at=clock.now(), changed_by_label=actor.label
            )
        )
    current.flush()
    record_audit(
        actor, "setting.changed", "setting", name, before={"value": before}, after={"value": value}
    )
    after_commit(partial(refresh, at_once=True))
    return True


# ---- backups -----------------------------------------------------------------------------------

proofs: Registry[Proof] = Registry("operations.proofs")
"""Invariants of the data that a copy of it must keep."""

NAMED = "manga-%Y%m%d-%H%M%S"
MANIFEST = ".json"
"""Beside each file; written last, so that a file without one is no backup."""


def read_contents() -> Contents:
    """Count every table and prove what is registered, in the running transaction."""
    current = session()
    rows = {
        table.name: current.scalar(select(func.count()).select_from(table)) or 0
        for table in db.metadata.sorted_tables
    }
    findings = [f"{name}: {words}" for name, proof in proofs.items() for words in proof()]
    revision = MigrationContext.configure(current.connection()).get_current_revision()
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
