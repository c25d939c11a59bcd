"""Readiness: each part of the deployment is asked, none may hang or raise. Who hears alarms."""

from __future__ import annotations

import logging
from functools import cache

from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from redis import RedisError
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from manga_backend.kernel.operations.types import Check, Checker
from manga_backend.kit.alarms import Alarm, Tell
from manga_backend.kit.db import READS, db
from manga_backend.kit.jobs import broker
from manga_backend.kit.leader import Duty
from manga_backend.kit.registry import Registry
from manga_backend.kit.settings import ROOT

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
