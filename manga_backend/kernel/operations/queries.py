"""Reads of changed settings."""

from __future__ import annotations

from sqlalchemy import select

from manga_backend.kernel.operations.models import ChangedSetting
from manga_backend.kit.db import read_all, session


def read_changes() -> dict[str, str]:
    """Names and values that win over the environment, outside of any transaction."""
    rows = read_all(select(ChangedSetting.name, ChangedSetting.value))
    return {row["name"]: row["value"] for row in rows}


def list_changed() -> dict[str, ChangedSetting]:
    """The same, with by whom and when."""
    return {row.name: row for row in session().scalars(select(ChangedSetting))}
