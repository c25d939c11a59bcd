"""When a failed message is tried again, and the hand from which a process sends."""

from __future__ import annotations

import heapq
import itertools
import random
import threading
from datetime import datetime, timedelta
from typing import Generic, Protocol, TypeVar

from markupsafe import Markup

GIVE_UP_AFTER = timedelta(hours=24)
LONGEST_PAUSE_SECONDS = 1800


def next_attempt(attempts: int, created_at: datetime, now: datetime) -> datetime | None:
    """Exponential back-off with jitter from 2 s to 30 min; None after 24 h."""
    if now - created_at >= GIVE_UP_AFTER:
        return None
    longest = min(LONGEST_PAUSE_SECONDS, 2 ** min(attempts, 12))
    return now + timedelta(seconds=longest * random.uniform(0.5, 1.0))  # noqa: S311


def plain_text(html: str) -> str:
    """A message without its tags, line by line as it was written, for those who don't read HTML."""
    lines = (Markup(line).striptags() for line in html.strip().splitlines())  # noqa: S704  # only read
    return "\n".join(lines)


class Addressed(Protocol):
    """Something for one chat, in one lane."""

    @property
    def chat_id(self) -> int: ...
    @property
    def priority(self) -> int: ...


M = TypeVar("M", bound=Addressed)


class Hand(Generic[M]):
    """What one process has claimed and not yet sent. Thread-safe.

    The most urgent goes first, and one chat's messages go one at a time in their order.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._heap: list[tuple[int, int, M, float]] = []
        self._numbers = itertools.count()
        self._busy: set[int] = set()
        self._closed = False

    @property
    def load(self) -> int:
        """How many are waiting or being sent."""
        with self._changed:
            return len(self._heap) + len(self._busy)

    def add(self, messages: list[M], until: float) -> None:
        """Put claimed messages in; none may be begun after `until` (time.monotonic())."""
        with self._changed:
            for message in messages:
                item = (message.priority, next(self._numbers), message, until)
                heapq.heappush(self._heap, item)
            self._changed.notify_all()

    def take(self) -> tuple[M, float] | None:
        """The next message whose chat is free, and its `until`; waits for one, None when closed."""
        with self._changed:
            while True:
                passed = []
                found = None
                while self._heap and found is None:
                    item = heapq.heappop(self._heap)
                    if item[2].chat_id in self._busy:
                        passed.append(item)
                    else:
                        found = item
                for item in passed:
                    heapq.heappush(self._heap, item)
                if found is not None:
                    self._busy.add(found[2].chat_id)
                    return found[2], found[3]
                if self._closed:
                    return None
                self._changed.wait()

    def done(self, message: M) -> None:
        """Its chat is free again."""
        with self._changed:
            self._busy.discard(message.chat_id)
            self._changed.notify_all()

    def put_back(self, message: M, until: float, rest_seconds: float) -> None:
        """Not now: let others pass, and return after `rest_seconds` or once something comes in."""
        with self._changed:
            self._busy.discard(message.chat_id)
            item = (message.priority, next(self._numbers), message, until)
            heapq.heappush(self._heap, item)
            self._changed.wait(rest_seconds)

    def withdraw(self, chat_id: int) -> list[M]:
        """Take out all that waits for one chat, in its order."""
        with self._changed:
            mine = sorted(item for item in self._heap if item[2].chat_id == chat_id)
            self._heap = [item for item in self._heap if item[2].chat_id != chat_id]
            heapq.heapify(self._heap)
            self._changed.notify_all()
            return [item[2] for item in mine]

    def wait_for_load(self, most: int) -> None:
        """Until no more than `most` are waiting or being sent."""
        with self._changed:
            self._changed.wait_for(lambda: len(self._heap) + len(self._busy) <= most)

    def close(self) -> list[M]:
        """No more comes: those who wait for a message stop. Returns what nobody has begun."""
        with self._changed:
            self._closed = True
            left = [item[2] for item in self._heap]
            self._heap.clear()
            self._changed.notify_all()
            return left
