"""Readiness: each part of the deployment is asked, none may hang or raise. Who hears alarms."""

from __future__ import annotations

import logging
import shutil
from functools import cache
from pathlib import Path

from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from redis import AuthenticationError, RedisError
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from manga_backend.kernel.operations.settings import BackupSettings
from manga_backend.kernel.operations.types import Check, Checker
from manga_backend.kit import clock, replica
from manga_backend.kit.alarms import Alarm, Tell
from manga_backend.kit.db import READS, db
from manga_backend.kit.jobs import broker
from manga_backend.kit.leader import Duty
from manga_backend.kit.registry import Registry
from manga_backend.kit.settings import ROOT, CoreSettings, settings

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
    """One statement on the engine that also checks sessions. One that only reads still serves
    readers: red, but not vital."""
    engine = db.engines[READS]
    postgres = engine.dialect.name == "postgresql"
    try:
        with engine.connect() as connection:
            found = connection.scalar(
                text("SHOW transaction_read_only" if postgres else "SELECT 1")
            )
    except SQLAlchemyError as error:
        return Check(False, f"away: {type(error).__name__}", vital=True)
    if found == "on":
        return Check(False, "takes no writes: a standby, or default_transaction_read_only is on")
    return Check(True, "answers", vital=True)


def check_replica() -> Check:
    """Red while what could be read there is read at the primary."""
    if not replica.is_set():
        return Check(True, "none is set")
    problem = replica.problem_of_replica()
    return Check(problem is None, problem or "near")


@cache
def _revisions() -> tuple[str | None, frozenset[str]]:
    """The newest migration and all of them; they come with the code, so they are read once."""
    scripts = ScriptDirectory(str(ROOT / "migrations"))
    return scripts.get_current_head(), frozenset(s.revision for s in scripts.walk_revisions())


LARGEST_SKEW_SECONDS = 10.0


def check_clock() -> Check:
    """Red for ten minutes after the clock was set, and while it is not the database server's."""
    jumped = clock.watch.recent()
    if jumped is not None:
        return Check(False, f"this machine's clock was set {in_seconds(jumped)}: is NTP running?")
    skew = skew_of_database()
    if skew is not None and abs(skew) > LARGEST_SKEW_SECONDS:
        return Check(False, f"this machine's clock is {in_seconds(skew)} of the database server's")
    return Check(True, "steady")


def in_seconds(skew: float) -> str:
    """`12 s ahead`, `3 s behind`."""
    return f"{abs(skew):.0f} s {'ahead' if skew > 0 else 'behind'}"


def skew_of_database() -> float | None:
    """Our clock less the database server's, in seconds; None on SQLite, or while it is away."""
    engine = db.engines[READS]
    if engine.dialect.name != "postgresql":
        return None
    try:
        with engine.connect() as connection:
            theirs = connection.scalar(text("SELECT clock_timestamp()"))
    except SQLAlchemyError:
        return None
    return (clock.now() - theirs).total_seconds() if theirs else None


LEAST_FREE_BYTES = 200 * 1024 * 1024


def check_disk() -> Check:
    """Room for the database, locks and backups that this machine keeps."""
    core, backup = settings(CoreSettings), settings(BackupSettings)
    red, found = False, []
    for folder in dict.fromkeys((core.instance_path, backup.folder)):
        free = free_bytes(folder)
        if free is not None:
            red = red or free < LEAST_FREE_BYTES
            found.append(f"{free // 1024**2} MB free for {folder.name}")
    return Check(not red, ", ".join(found) or "no folder is there")


def free_bytes(folder: Path) -> int | None:
    """Of the file system that a folder is, or will be, in; None when nothing of its path is."""
    for place in (folder, *folder.parents):
        try:
            return shutil.disk_usage(place).free
        except OSError:
            continue
    return None


def newest_revision() -> str | None:
    """What this code's migrations lead to."""
    return _revisions()[0]


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
    except AuthenticationError:
        return Check(False, "refuses the password of REDIS_URL; messages wait for the sweeper")
    except RedisError as error:
        return Check(False, f"away: {type(error).__name__}; messages wait for the sweeper")
    return Check(True, "answers")


def sound(alarm: Alarm) -> None:
    """Hand one fault to every sink; run by the alarm thread."""
    for _name, tell in alarm_sinks.items():
        tell(alarm)
