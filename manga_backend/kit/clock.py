"""The one source of the current time, so that tests can move it."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime


def now() -> datetime:
    """The current moment, aware, in UTC."""
    return datetime.now(UTC)


def isoformat(moment: datetime) -> str:
    """`2026-11-21T09:30:00Z`: ISO 8601 in UTC with `Z`, fractions only when there are any."""
    if moment.tzinfo is not UTC:
        moment = moment.astimezone(UTC)
    return moment.isoformat().replace("+00:00", "Z")


LARGEST_DRIFT_SECONDS = 5.0
"""More than NTP slews between two looks, and less than what people notice."""
LONGEST_LOOK_SECONDS = 0.1
TELL_SECONDS = 600.0


def _offset() -> float:
    """How far the clock is from the one that can't be set, read while nothing held us up."""
    while True:
        before, now = time.monotonic(), time.time()
        if time.monotonic() - before < LONGEST_LOOK_SECONDS:
            return now - before


class Watch:
    """Notices that the machine's clock was set, by the one that can't be."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._offset = _offset()
        self._jumped = 0.0
        self._seen_at = -TELL_SECONDS

    def look(self) -> float | None:
        """By how many seconds it was set since the last look (forwards is positive), or None. Not
        before the process started; a suspended machine counts, for the same things go wrong."""
        with self._lock:
            offset = _offset()
            jumped, self._offset = offset - self._offset, offset
            if abs(jumped) < LARGEST_DRIFT_SECONDS:
                return None
            self._jumped, self._seen_at = jumped, time.monotonic()
            return jumped

    def recent(self) -> float | None:
        """The last jump, as long as it is not ten minutes ago."""
        self.look()
        return self._jumped if time.monotonic() - self._seen_at < TELL_SECONDS else None


watch = Watch()
"""The one of this process."""
