"""Numbers instead of messages: what a load test asks of a stand-in that keeps nothing else."""

from __future__ import annotations

import threading
import time
from collections import Counter
from dataclasses import dataclass, field

from .model import Json

SENDING = ("sendmessage", "senddocument")


@dataclass
class Counts:
    """Since the start, or since `reset`. A message whose answer got lost counts as sent."""

    sent: int = 0
    refused_429: int = 0
    injected: int = 0
    first_at: float = 0.0
    last_at: float = 0.0
    per_second: list[int] = field(default_factory=list)
    errors: Counter[int] = field(default_factory=Counter)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def count_done(self, method: str) -> None:
        """A method that was carried out."""
        if method not in SENDING:
            return
        with self._lock:
            now = time.time()
            if not self.sent:
                self.first_at = now
            self.sent += 1
            self.last_at = now
            second = int(now - self.first_at)
            missing = second + 1 - len(self.per_second)
            if missing > 0:
                self.per_second.extend([0] * missing)
            self.per_second[second] += 1

    def count_refused(self, status: int) -> None:
        with self._lock:
            if status == 429:
                self.refused_429 += 1
            else:
                self.errors[status] += 1

    def count_injected(self) -> None:
        with self._lock:
            self.injected += 1

    def reset(self) -> None:
        with self._lock:
            self.sent = self.refused_429 = self.injected = 0
            self.first_at = self.last_at = 0.0
            self.per_second, self.errors = [], Counter()

    def to_json(self) -> Json:
        with self._lock:
            return {
                "sent": self.sent,
                "refused_429": self.refused_429,
                "other_errors": self.errors.total(),
                "errors_by_status": {str(status): n for status, n in self.errors.items()},
                "injected": self.injected,
                "first_at": self.first_at,
                "last_at": self.last_at,
                "per_second": list(self.per_second),
            }
