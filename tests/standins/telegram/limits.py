"""What goes wrong on purpose: Telegram's rate limits, and the faults that a test asks for."""

from __future__ import annotations

import math
import threading
import time
from dataclasses import dataclass

from .model import too_many_requests


@dataclass(frozen=True)
class Limits:
    """The numbers of core.telegram.org/bots/faq; bursts to one chat are let through shortly."""

    per_second: float = 30
    per_chat_per_second: float = 1
    per_chat_burst: int = 3
    per_group_per_minute: float = 20


@dataclass
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


class RateLimiter:
    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._lock = threading.Lock()
        self._overall = self._bucket(limits.per_second, limits.per_second)
        self._chats: dict[int, Bucket] = {}

    @staticmethod
    def _bucket(rate: float, size: float) -> Bucket:
        return Bucket(rate, size, size, time.monotonic())

    def spend(self, chat_id: int, is_private: bool) -> None:
        """Counts one message to a chat, or refuses it with 429; a refused one costs nothing."""
        limits = self._limits
        with self._lock:
            if chat_id not in self._chats:
                self._chats[chat_id] = (
                    self._bucket(limits.per_chat_per_second, limits.per_chat_burst)
                    if is_private
                    else self._bucket(limits.per_group_per_minute / 60, limits.per_group_per_minute)
                )
            buckets = (self._overall, self._chats[chat_id])
            now = time.monotonic()
            wait = max(bucket.wait_seconds(now) for bucket in buckets)
            if wait > 0:
                raise too_many_requests(max(1, math.ceil(wait)))
            for bucket in buckets:
                bucket.tokens -= 1


@dataclass
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
        with self._lock:
            for fault in self._faults:
                if fault.method in ("*", method.lower()):
                    fault.count -= 1
                    if fault.count <= 0:
                        self._faults.remove(fault)
                    return fault
        return None
