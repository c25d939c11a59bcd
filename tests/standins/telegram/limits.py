"""What goes wrong on purpose: Telegram's rate limits, and the faults that a test asks for."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from dataclasses import dataclass
from typing import Self

from .model import too_many_requests


@dataclass(frozen=True)
class Limits:
    """The numbers of core.telegram.org/bots/faq; bursts to one chat are let through shortly.

    They are kept by token buckets, which let through twice the number in a first second after a
    rest. `strict` adds the other reading: never more than `per_second` messages in any second,
    nor more than `per_group_per_minute` to a group in any minute.
    """

    per_second: float = 30
    per_chat_per_second: float = 1
    per_chat_burst: int = 3
    per_group_per_minute: float = 20
    strict: bool = False

    @classmethod
    def scaled(cls, factor: float, *, strict: bool = False) -> Self:
        """Telegram's limits, all of them times `factor`."""
        return cls(
            per_second=cls.per_second * factor,
            per_chat_per_second=cls.per_chat_per_second * factor,
            per_chat_burst=max(1, round(cls.per_chat_burst * factor)),
            per_group_per_minute=cls.per_group_per_minute * factor,
            strict=strict,
        )


@dataclass(slots=True)
class Bucket:
    """A token bucket; `rate` is tokens per second."""

    rate: float
    size: float
    tokens: float
    filled_at: float

    def wait_seconds(self, now: float) -> float:
        """How long until one token is there; 0 means at once."""
        self.tokens = min(self.size, self.tokens + (now - self.filled_at) * self.rate)
        self.filled_at = now
        return 0.0 if self.tokens >= 1 else (1 - self.tokens) / self.rate

    def spend(self, now: float) -> None:
        self.tokens -= 1


class Window:
    """No more than `count` in any stretch of `seconds`."""

    __slots__ = ("_seconds", "_times")

    def __init__(self, count: float, seconds: float) -> None:
        self._seconds = seconds
        self._times: deque[float] = deque(maxlen=max(1, int(count)))

    def wait_seconds(self, now: float) -> float:
        if len(self._times) < (self._times.maxlen or 0):
            return 0.0
        return max(0.0, self._times[0] + self._seconds - now)

    def spend(self, now: float) -> None:
        self._times.append(now)


class RateLimiter:
    """Called with the lock of the state held."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._overall = self._gates(limits.per_second, limits.per_second, 1)
        self._chats: dict[int, tuple[Bucket | Window, ...]] = {}

    def _gates(self, rate: float, size: float, seconds: float) -> tuple[Bucket | Window, ...]:
        bucket = Bucket(rate, size, size, time.monotonic())
        return (bucket, Window(size, seconds)) if self._limits.strict else (bucket,)

    def _gates_of(self, is_private: bool) -> tuple[Bucket | Window, ...]:
        limits = self._limits
        if not is_private:
            per_minute = limits.per_group_per_minute
            return self._gates(per_minute / 60, per_minute, 60)
        rate, burst = limits.per_chat_per_second, limits.per_chat_burst
        return (Bucket(rate, burst, burst, time.monotonic()),)

    def spend(self, chat_id: int, is_private: bool) -> None:
        """Counts one message to a chat, or refuses it with 429; a refused one costs nothing."""
        gates = self._chats.get(chat_id)
        if gates is None:
            gates = self._chats[chat_id] = self._gates_of(is_private)
        gates = self._overall + gates
        now = time.monotonic()
        wait = max([gate.wait_seconds(now) for gate in gates])
        if wait > 0:
            raise too_many_requests(max(1, math.ceil(wait)))
        for gate in gates:
            gate.spend(now)


@dataclass(slots=True)
class Fault:
    """One kind of trouble; with status 200 the method is done, and only its answer suffers."""

    method: str
    count: int
    status: int
    description: str
    retry_after: int | None
    garbage: bool
    delay: float
    drop_connection: bool


class FaultQueue:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: list[Fault] = []

    def add(self, fault: Fault) -> None:
        with self._lock:
            self._faults.append(fault)

    def clear(self) -> None:
        with self._lock:
            self._faults.clear()

    def take(self, method: str) -> Fault | None:
        """The next fault for this method, used up by one."""
        if not self._faults:
            return None
        with self._lock:
            for fault in self._faults:
                if fault.method in ("*", method.lower()):
                    fault.count -= 1
                    if fault.count <= 0:
                        self._faults.remove(fault)
                    return fault
        return None
