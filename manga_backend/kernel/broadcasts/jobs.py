"""What runs by schedule."""

from __future__ import annotations

from manga_backend.kernel.broadcasts.service.sending import settle_outcomes
from manga_backend.kit.db import transaction


def settle() -> None:
    """Counts of cancelled broadcasts, when the last message in flight has been recorded."""
    with transaction():
        settle_outcomes()
