"""Housekeeping of sessions and codes."""

from __future__ import annotations

from manga_backend.kernel.identity.service.sessions import purge_sessions_and_codes
from manga_backend.kernel.identity.service.webapp import purge_used_logins
from manga_backend.kit.db import transaction


def purge() -> None:
    """Forget what is long over."""
    purge_sessions_and_codes()
    with transaction():
        purge_used_logins()
