"""Housekeeping of updates."""

from __future__ import annotations

from manga_backend.kernel.telegram import service


def purge_updates() -> None:
    """Forget handled updates after a week."""
    service.purge_updates()
