"""What goes wrong on purpose."""

from __future__ import annotations

import threading
from collections import defaultdict, deque
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Fault:
    """See CryptomusStandIn.fail_next()."""

    status: int | None
    delay: float
    garbage: bool
    drop_connection: bool
    processed: bool

    @property
    def is_only_slow(self) -> bool:
        return self.status is None and not (self.garbage or self.drop_connection)


class FaultQueue:
    """Faults by path, each for one request."""

    def __init__(self) -> None:
        self._queues: defaultdict[str, deque[Fault]] = defaultdict(deque)
        self._guard = threading.Lock()

    def add(self, path: str, fault: Fault, count: int) -> None:
        with self._guard:
            self._queues[path].extend([fault] * count)

    def take(self, path: str) -> Fault | None:
        with self._guard:
            queue = self._queues[path]
            return queue.popleft() if queue else None

    def clear(self) -> None:
        with self._guard:
            self._queues.clear()
