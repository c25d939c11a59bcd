"""Arithmetic of subscriptions."""

from __future__ import annotations

import math
from datetime import datetime, timedelta

DAY = timedelta(days=1)


def extended(
    started_at: datetime | None, expires_at: datetime | None, days: int, now: datetime
) -> tuple[datetime, datetime]:
    """(started_at, expires_at) after `days` of 24 h are given or taken.

    Days given count from the later of now and the present end, so paying early loses nothing; a run
    that had ended starts anew. Days taken shorten the end, not to before the start.
    """
    if days >= 0:
        if started_at is None or expires_at is None or expires_at <= now:
            return now, now + days * DAY
        return started_at, expires_at + days * DAY
    if started_at is None or expires_at is None:
        return now, now
    return started_at, max(started_at, expires_at + days * DAY)


def days_remaining(expires_at: datetime | None, now: datetime) -> int:
    """Rounded up; 0 when not active."""
    if expires_at is None or expires_at <= now:
        return 0
    return math.ceil((expires_at - now) / DAY)
