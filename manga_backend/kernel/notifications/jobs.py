"""The wake-up that drains the outbox."""

from __future__ import annotations

from manga_backend.kernel.notifications import runner


def deliver() -> None:
    """Send what is due; finding nothing is fine."""
    runner.drain()
