"""What runs by schedule."""

from __future__ import annotations

from manga_backend.kernel.broadcasts.service.sending import settle_outcomes
from manga_backend.kit.db import transaction


def settle() -> None:
    """Counts of cancelled broadcasts, an hour after the last in-flight message at the most."""
    with transaction():
        settle_outcomes()
