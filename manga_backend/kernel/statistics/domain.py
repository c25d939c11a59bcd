"""Half-hour slots and local days."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

SLOT_SECONDS = 1800


def slot_of(moment: datetime) -> int:
    """The half hour that holds this moment."""
    return int(moment.timestamp()) // SLOT_SECONDS


def slot_start(slot: int) -> datetime:
    """When a half hour begins."""
    return datetime.fromtimestamp(slot * SLOT_SECONDS, UTC)


def day_slots(day: date, zone: ZoneInfo) -> tuple[int, int]:
    """[first, last) slots of a local day, however long the day is."""
    start = datetime.combine(day, time(), zone)
    end = datetime.combine(day + timedelta(days=1), time(), zone)
    return slot_of(start), slot_of(end)


def local_day(moment: datetime, zone: ZoneInfo) -> date:
    """The day that it is there."""
    return moment.astimezone(zone).date()


def days_between(first: date, last: date) -> list[date]:
    """All days from first to last, both included."""
    return [first + timedelta(days=n) for n in range((last - first).days + 1)]
