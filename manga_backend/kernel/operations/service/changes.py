"""Changing settings while the app runs."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from persiantools.digits import fa_to_en
from sqlalchemy import delete

from manga_backend.kernel.backoffice.service import record_audit
from manga_backend.kernel.backoffice.types import Actor
from manga_backend.kernel.operations import queries
from manga_backend.kernel.operations.models import ChangedSetting
from manga_backend.kit import clock
from manga_backend.kit.db import after_commit, serialize_on, session
from manga_backend.kit.problems import InvalidInput
from manga_backend.kit.registry import Registry
from manga_backend.kit.settings import SettingsError, in_force, refresh, with_changes

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
