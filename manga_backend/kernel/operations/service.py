"""Readiness: each part of the deployment is asked, none may hang or raise. Who hears alarms.
Changing settings while the app runs."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import cache, partial

from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from persiantools.digits import fa_to_en
from redis import RedisError
from sqlalchemy import delete, text
from sqlalchemy.exc import SQLAlchemyError

from manga_backend.kernel.backoffice.service import record_audit
from manga_backend.kernel.backoffice.types import Actor
from manga_backend.kernel.operations import queries
from manga_backend.kernel.operations.models import ChangedSetting
from manga_backend.kernel.operations.types import Check, Checker
from manga_backend.kit import clock
from manga_backend.kit.alarms import Alarm, Tell
from manga_backend.kit.db import READS, after_commit, db, serialize_on, session
from manga_backend.kit.jobs import broker
from manga_backend.kit.leader import Duty
from manga_backend.kit.problems import InvalidInput
from manga_backend.kit.registry import Registry
from manga_backend.kit.settings import ROOT, SettingsError, in_force, refresh, with_changes

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
