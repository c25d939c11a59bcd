"""The one source of the current time, so that tests can move it."""

from __future__ import annotations

from datetime import UTC, datetime


def now() -> datetime:
    """The current moment, aware, in UTC."""
    return datetime.now(UTC)


def isoformat(moment: datetime) -> str:
    """`2026-11-21T09:30:00Z`: ISO 8601 in UTC with `Z`, fractions only when there are any."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
