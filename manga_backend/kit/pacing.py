"""Paces calls to an outside system that allows so many a second, over all processes.

A pace is the generic cell rate algorithm (GCRA, ITU-T I.371): each key keeps the moment at which
its next call would be exactly on time ("theoretical arrival time"). With Redis all processes share
those moments, by one script and Redis' own clock; without, they live in this process.
"""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from manga_backend.kit.jobs import broker

KEEP_SECONDS = 3600
"""Longer than any turn lies ahead; then a key that nobody used is as good as new. A rest that was
asked for is kept as long as it lasts."""
ALONE_DIVISOR = 4
"""While Redis is away a process takes this part of the common rate: up to so many go on safely."""


@dataclass(frozen=True, slots=True)
class Rate:
    """One call every `interval_seconds`, of which `burst` may come at once after a rest.

    Of a common rate, turns that nobody took within the last `late_seconds` can still be had.
    """

    interval_seconds: float
    burst: int = 1
    late_seconds: float = 0.0

    @property
    def tolerance_seconds(self) -> float:
        """How far ahead of time a call may come."""
        return (self.burst - 1) * self.interval_seconds

    def slower(self, times: int) -> Rate:
        """The same with so much longer intervals, and no burst."""
        return Rate(self.interval_seconds * times)


@dataclass(frozen=True, slots=True)
class Turn:
    """`granted`: call after `wait_seconds`, below 0 for a turn that was so long ago. Otherwise
    nothing was taken, and asking again makes sense after `wait_seconds`; `narrow` tells that it is
    the recipient who has to rest."""

    granted: bool
    wait_seconds: float
    narrow: bool = False


@dataclass(frozen=True, slots=True)
class Wanted:
    """A call to this recipient, who may be called at this rate. `had_one`: it was granted before,
    and went by unused; the recipient need not rest for it."""

    recipient: str
    narrow: Rate
    had_one: bool = False


class Pace(ABC):
    """A common rate for all calls and one for each recipient."""

    @abstractmethod
    def take_each(
        self, common: Rate, wanted: Sequence[Wanted], patience_seconds: float | None
    ) -> list[Turn]:
        """A turn for each call, in their order, to recipients that differ.

        A caller with patience leaves the queue to others: what would lie further ahead than that is
        not granted."""

    @abstractmethod
    def rest(self, key: str | None, seconds: float) -> None:
        """No turn for `seconds`: for one recipient, or (None) for all."""

    def take(
        self, common: Rate, recipient: str, narrow: Rate, patience_seconds: float | None
    ) -> Turn:
        """One turn for a call to `recipient`."""
        (turn,) = self.take_each(common, [Wanted(recipient, narrow)], patience_seconds)
        return turn


class LocalPace(Pace):
    """The turns of one process. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._common = 0.0
        self._recipients: dict[str, float] = {}
        self._resting: dict[str, float] = {}
        self._swept_at = 0.0

    def take_each(
        self, common: Rate, wanted: Sequence[Wanted], patience_seconds: float | None
    ) -> list[Turn]:
        now = time.monotonic()
        with self._lock:
            self._sweep(now)
            return [self._take(now, common, one, patience_seconds) for one in wanted]

    def _take(self, now: float, common: Rate, wanted: Wanted, patience: float | None) -> Turn:
        recipient, narrow = wanted.recipient, wanted.narrow
        slot = max(now - common.late_seconds, self._common)
        due = self._recipients.get(recipient, 0.0)
        earliest = self._resting.get(recipient, 0.0)
        if not wanted.had_one:
            earliest = max(earliest, due - narrow.tolerance_seconds)
        if earliest > max(now, slot):
            return Turn(False, earliest - now, narrow=True)
        if patience is not None and slot - now > patience:
            return Turn(False, slot - now - patience)
        self._common = slot + common.interval_seconds
        taken = max(now, slot)
        rested = taken if wanted.had_one else max(taken, due)
        self._recipients[recipient] = max(due, rested + narrow.interval_seconds)
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


# KEYS: common, then for each call its recipient and the recipient's rest. ARGV: interval of all,
# patience (-1: none), seconds to keep, how late a turn may be had, then for each call interval and
# tolerance of its recipient, and 1 when it had one before.
# Answers for each call granted, wait in µs, narrow.
_TAKE = """
local t = redis.call('TIME')
local now = t[1] + t[2] / 1000000
local known = redis.call('MGET', unpack(KEYS))
local before = math.max(now - ARGV[4], tonumber(known[1] or 0))
local slot = before
local patience = tonumber(ARGV[2])
local answers = {}
local function answer(granted, wait, narrow)
  answers[#answers + 1] = granted
  answers[#answers + 1] = math.ceil(wait * 1000000)
  answers[#answers + 1] = narrow
end
for i = 1, (#KEYS - 1) / 2 do
  local interval, tolerance = ARGV[2 + 3 * i], ARGV[3 + 3 * i]
  local had_one = ARGV[4 + 3 * i] == '1'
  local due = tonumber(known[2 * i] or 0)
  local earliest = tonumber(known[2 * i + 1] or 0)
  if not had_one then
    earliest = math.max(earliest, due - tolerance)
  end
  if earliest > math.max(now, slot) then
    answer(0, earliest - now, 1)
  elseif patience >= 0 and slot - now > patience then
    answer(0, slot - now - patience, 0)
  else
    answer(1, slot - now, 0)
    local rested = math.max(now, slot)
    if not had_one then
      rested = math.max(rested, due)
    end
    local next = string.format('%.6f', math.max(due, rested + interval))
    redis.call('SET', KEYS[2 * i], next, 'EX', ARGV[3])
    slot = slot + ARGV[1]
  end
end
if slot > before then
  redis.call('SET', KEYS[1], string.format('%.6f', slot), 'EX', ARGV[3])
end
return answers
"""

_REST = """
local t = redis.call('TIME')
local till = t[1] + t[2] / 1000000 + ARGV[1]
if till > tonumber(redis.call('GET', KEYS[1]) or 0) then
  redis.call('SET', KEYS[1], string.format('%.6f', till), 'EX', math.ceil(ARGV[2] + ARGV[1]))
end
"""


class SharedPace(Pace):
    """The turns of all processes that use one Redis; RedisError when it is away."""

    def __init__(self, connection: Any, name: str) -> None:
        self._name = name
        self._take = connection.register_script(_TAKE)
        self._rest = connection.register_script(_REST)

    def take_each(
        self, common: Rate, wanted: Sequence[Wanted], patience_seconds: float | None
    ) -> list[Turn]:
        keys = [self._name]
        patience = -1 if patience_seconds is None else patience_seconds
        args: list[float] = [common.interval_seconds, patience, KEEP_SECONDS, common.late_seconds]
        for one in wanted:
            due = f"{self._name}:{one.recipient}"
            keys += [due, f"{due}:rest"]
            args += [one.narrow.interval_seconds, one.narrow.tolerance_seconds, int(one.had_one)]
        found = self._take(keys=keys, args=args)
        return [
            Turn(bool(granted), wait_us / 1_000_000, narrow=bool(of_recipient))
            for granted, wait_us, of_recipient in zip(*[iter(found)] * 3, strict=True)
        ]

    def rest(self, key: str | None, seconds: float) -> None:
        name = self._name if key is None else f"{self._name}:{key}:rest"
        self._rest(keys=[name], args=[seconds, KEEP_SECONDS])


class AppPace(Pace):
    """Shared while Redis answers; else alone, at a part of the rate. Needs an app context."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._alone = LocalPace()
        self._shared: SharedPace | None = None

    def take_each(
        self, common: Rate, wanted: Sequence[Wanted], patience_seconds: float | None
    ) -> list[Turn]:
        found = broker()
        if found is not None:
            shared = self._share(found.connection)
            turns = found.attempt(lambda: shared.take_each(common, wanted, patience_seconds))
            if turns is not None:
                return turns
            common = common.slower(ALONE_DIVISOR)
            wanted = [replace(one, narrow=one.narrow.slower(ALONE_DIVISOR)) for one in wanted]
        return self._alone.take_each(common, wanted, patience_seconds)

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
