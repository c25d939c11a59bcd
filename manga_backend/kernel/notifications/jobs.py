"""The wake-up that drains the outbox, and what is forgotten by the clock."""

from __future__ import annotations

from manga_backend.kernel.notifications.service import retention
from manga_backend.kernel.notifications.service.outbox import DELIVER
from manga_backend.kit.db import transaction
from manga_backend.kit.jobs import local_flag


def deliver() -> None:
    """Tell this worker's engine that something is due; it finds out what by itself."""
    local_flag(DELIVER).set()


def purge() -> None:
    """Forget what is older than the retention; one transaction for each batch."""
    after: int | None = 0
    while after is not None:
        with transaction():
            after = retention.purge(after)
