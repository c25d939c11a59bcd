"""Housekeeping of sessions and codes."""

from __future__ import annotations

from manga_backend.kernel.identity.service.sessions import purge_sessions_and_codes


def purge() -> None:
    """Forget what is long over."""
    purge_sessions_and_codes()
