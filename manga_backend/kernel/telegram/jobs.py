"""Housekeeping of updates."""

from __future__ import annotations

from manga_backend.kernel.telegram.service import updates


def purge_updates() -> None:
    """Forget handled updates after a week."""
    updates.purge_updates()
