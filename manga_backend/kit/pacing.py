"""Paces calls to an outside system that allows so many a second, over all processes.

A pace is the generic cell rate algorithm (GCRA, ITU-T I.371): each key keeps the moment at which
its next call would be exactly on time ("theoretical arrival time"). With Redis all processes share
those moments, by one script and Redis' own clock; without, they live in this process.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import Any, Protocol

from manga_backend.kit.jobs import broker

KEEP_SECONDS = 3600
"""Longer than any pause; then a key that nobody used is as good as new."""
ALONE_DIVISOR = 4
"""While Redis is away a process takes this part of the common rate: up to so many go on safely."""


@dataclass(frozen=True, slots=True)
class Rate:
    """One call every `interval_seconds`, of which `burst` may come at once after a rest."""

    interval_seconds: float
    burst: int = 1

    @property
    def tolerance_seconds(self) -> float:
        """How far ahead of time a call may come."""
        return (self.burst - 1) * self.interval_seconds

    def slower(self, times: int) -> Rate:
        """The same with so much longer intervals, and no burst."""
        return Rate(self.interval_seconds * times)


@dataclass(frozen=True, slots=True)
class Turn:
    """`granted`: call after `wait_seconds`. Otherwise nothing was taken, and asking again makes
    sense after `wait_seconds`; `narrow` tells that it is the recipient who has to rest."""

    granted: bool
    wait_seconds: float
    narrow: bool = False


class Pace(Protocol):
    """A common rate for all calls and one for each recipient."""

    def take(
        self, common: Rate, recipient: str, narrow: Rate, patience_seconds: float | None
    ) -> Turn:
        """One turn for a call to `recipient`; a caller with patience leaves the queue to others."""

    def rest(self, key: str | None, seconds: float) -> None:
        """No turn for `seconds`: for one recipient, or (None) for all."""


class LocalPace:
    """The turns of one process. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._common = 0.0
        self._recipients: dict[str, float] = {}
        self._resting: dict[str, float] = {}
        self._swept_at = 0.0

    def take(
        self, common: Rate, recipient: str, narrow: Rate, patience_seconds: float | None
    ) -> Turn:
        now = time.monotonic()
        with self._lock:
            self._sweep(now)
            slot = max(now, self._common)
            due = self._recipients.get(recipient, 0.0)
            earliest = max(due - narrow.tolerance_seconds, self._resting.get(recipient, 0.0))
            if earliest > slot:
                return Turn(False, earliest - now, narrow=True)
            if patience_seconds is not None and slot - now > patience_seconds:
                return Turn(False, slot - now - patience_seconds)
            self._common = slot + common.interval_seconds
            self._recipients[recipient] = max(slot, due) + narrow.interval_seconds
            return Turn(True, slot - now)

    def rest(self, key: str | None, seconds: float) -> None:
        until = time.monotonic() + seconds
        with self._lock:
            if key is None:
                self._common = max(self._common, until)
            else:
                self._resting[key] = max(self._resting.get(key, 0.0), until)

    def _sweep(self, now: float) -> None:
        """Forget, now and then, whoever has rested long enough."""
        if now - self._swept_at < 60:
            return
        self._swept_at = now
        self._recipients = {key: due for key, due in self._recipients.items() if due > now}
        self._resting = {key: until for key, until in self._resting.items() if until > now}


# KEYS: common, recipient, rest of the recipient. ARGV: interval of all, interval and tolerance of
# the recipient, patience (-1: none), seconds to keep. Answers {granted, wait in µs, narrow}.
_TAKE = """
local t = redis.call('TIME')
local now = t[1] + t[2] / 1000000
local slot = math.max(now, tonumber(redis.call('GET', KEYS[1]) or 0))
local due = tonumber(redis.call('GET', KEYS[2]) or 0)
local earliest = math.max(due - ARGV[3], tonumber(redis.call('GET', KEYS[3]) or 0))
if earliest > slot then return {0, math.ceil((earliest - now) * 1000000), 1} end
local patience = tonumber(ARGV[4])
if patience >= 0 and slot - now > patience then
  return {0, math.ceil((slot - now - patience) * 1000000), 0}
end
redis.call('SET', KEYS[1], string.format('%.6f', slot + ARGV[1]), 'EX', ARGV[5])
redis.call('SET', KEYS[2], string.format('%.6f', math.max(slot, due) + ARGV[2]), 'EX', ARGV[5])
return {1, math.ceil((slot - now) * 1000000), 0}
"""

_REST = """
local t = redis.call('TIME')
local till = t[1] + t[2] / 1000000 + ARGV[1]
if till > tonumber(redis.call('GET', KEYS[1]) or 0) then
  redis.call('SET', KEYS[1], string.format('%.6f', till), 'EX', ARGV[2])
end
"""


class SharedPace:
    """The turns of all processes that use one Redis; RedisError when it is away."""

    def __init__(self, connection: Any, name: str) -> None:
        self._name = name
        self._take = connection.register_script(_TAKE)
        self._rest = connection.register_script(_REST)

    def take(
        self, common: Rate, recipient: str, narrow: Rate, patience_seconds: float | None
    ) -> Turn:
        due = f"{self._name}:{recipient}"
        granted, wait_us, of_recipient = self._take(
            keys=[self._name, due, f"{due}:rest"],
            args=[
                common.interval_seconds,
                narrow.interval_seconds,
                narrow.tolerance_seconds,
                -1 if patience_seconds is None else patience_seconds,
                KEEP_SECONDS,
            ],
        )
        return Turn(bool(granted), wait_us / 1_000_000, narrow=bool(of_recipient))

    def rest(self, key: str | None, seconds: float) -> None:
        name = self._name if key is None else f"{self._name}:{key}:rest"
        self._rest(keys=[name], args=[seconds, KEEP_SECONDS])


class AppPace:
    """Shared while Redis answers; else alone, at a part of the rate. Needs an app context."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._alone = LocalPace()
        self._shared: SharedPace | None = None

    def take(
        self, common: Rate, recipient: str, narrow: Rate, patience_seconds: float | None
    ) -> Turn:
        found = broker()
        if found is not None:
            shared = self._share(found.connection)
            turn = found.attempt(lambda: shared.take(common, recipient, narrow, patience_seconds))
            if turn is not None:
                return turn
            common, narrow = common.slower(ALONE_DIVISOR), narrow.slower(ALONE_DIVISOR)
        return self._alone.take(common, recipient, narrow, patience_seconds)

    def rest(self, key: str | None, seconds: float) -> None:
        self._alone.rest(key, seconds)
        found = broker()
        if found is not None:
            shared = self._share(found.connection)
            found.attempt(lambda: shared.rest(key, seconds))

    def _share(self, connection: Any) -> SharedPace:
        if self._shared is None:
            self._shared = SharedPace(connection, self._name)
        return self._shared
