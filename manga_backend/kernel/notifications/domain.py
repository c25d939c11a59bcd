"""When a failed message is tried again."""

from __future__ import annotations

import random
from datetime import datetime, timedelta

GIVE_UP_AFTER = timedelta(hours=24)
LONGEST_PAUSE_SECONDS = 1800


def next_attempt(attempts: int, created_at: datetime, now: datetime) -> datetime | None:
    """Exponential back-off with jitter from 2 s to 30 min; None after 24 h."""
    if now - created_at >= GIVE_UP_AFTER:
        return None
    longest = min(LONGEST_PAUSE_SECONDS, 2 ** min(attempts, 12))
    return now + timedelta(seconds=longest * random.uniform(0.5, 1.0))  # noqa: S311
