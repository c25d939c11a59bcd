"""The wake-up that drains the outbox."""

from __future__ import annotations

from manga_backend.kernel.notifications.service.outbox import DELIVER
from manga_backend.kit.jobs import local_flag


def deliver() -> None:
    """Tell this worker's engine that something is due; it finds out what by itself."""
    local_flag(DELIVER).set()
