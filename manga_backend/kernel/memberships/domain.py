"""Arithmetic of subscriptions."""

from __future__ import annotations

import math
from datetime import datetime, timedelta

from manga_backend.kernel.memberships.types import NoticeStage

DAY = timedelta(days=1)

NOTICE_BEFORE = {
    NoticeStage.ENDED: 0 * DAY,
    NoticeStage.ONE_DAY: DAY,
    NoticeStage.THREE_DAYS: 3 * DAY,
}
"""How long before the end each stage is told, the most urgent first."""
MAKE_UP_FOR_END = 3 * DAY
"""An end that is longer past is not told: a first start on an old database writes to few."""


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


def due_stage(started_at: datetime, expires_at: datetime, now: datetime) -> NoticeStage | None:
    """The most urgent stage that has come, within the time in which it is told at all.

    None as well for a stage that had come when the run began: a day's gift has no "one day left".
    """
    if not now - MAKE_UP_FOR_END < expires_at:
        return None
    for stage, before in NOTICE_BEFORE.items():
        if expires_at - before <= now:
            return stage if started_at < expires_at - before else None
    return None
