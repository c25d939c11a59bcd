"""When a failed message is tried again, and the hand from which a process sends."""

from __future__ import annotations

import heapq
import itertools
import random
import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Generic, NamedTuple, Protocol, TypeVar

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


class Held(NamedTuple, Generic[M]):
    """A message in hand: the order in which it goes, and until when it may be begun
    (time.monotonic()). A tuple, since a heap of objects spends its time on comparing them."""

    priority: int
    number: int
    message: M
    until: float


class Hand(Generic[M]):
    """What one process has claimed and not yet sent. Thread-safe.

    The most urgent goes first, and one chat's messages go one at a time in their order.
    """

    def __init__(self) -> None:
        lock = threading.Lock()
        self._changed = threading.Condition(lock)
        self._news = threading.Condition(lock)
        """For whoever lets others pass: only something new, or the end, is worth waking for."""
        self._room = threading.Condition(lock)
        """For whoever fills the hand; `_enough` is the load down to which nothing is wanted."""
        self._enough = -1
        self._heap: list[Held[M]] = []
        self._numbers = itertools.count()
        self._busy: set[int] = set()
        self._closed = False

    @property
    def load(self) -> int:
        """How many are waiting or being sent."""
        with self._changed:
            return self._load()

    def add(self, messages: list[M], until: float) -> None:
        """Put claimed messages in; none may be begun after `until`."""
        with self._changed:
            for message in messages:
                held = Held(message.priority, next(self._numbers), message, until)
                heapq.heappush(self._heap, held)
            self._changed.notify_all()
            self._news.notify_all()

    def take(self) -> Held[M] | None:
        """The next message whose chat is free; waits for one, None when closed."""
        with self._changed:
            while True:
                passed = []
                found = None
                while self._heap and found is None:
                    held = heapq.heappop(self._heap)
                    if held.message.chat_id in self._busy:
                        passed.append(held)
                    else:
                        found = held
                for held in passed:
                    heapq.heappush(self._heap, held)
                if found is not None:
                    self._busy.add(found.message.chat_id)
                    return found
                if self._closed:
                    return None
                self._changed.wait()

    def done(self, held: Held[M]) -> None:
        """Its chat is free again."""
        with self._changed:
            self._busy.discard(held.message.chat_id)
            self._changed.notify_all()
            self._note_load()

    def put_back(self, held: Held[M], rest_seconds: float) -> bool:
        """Not now: let others pass, and return after `rest_seconds` or once something comes in.

        False when the hand is closed: the message is the caller's to give back.
        """
        with self._changed:
            self._busy.discard(held.message.chat_id)
            if self._closed:
                return False
            heapq.heappush(self._heap, held)
            self._changed.notify_all()
            self._news.wait(rest_seconds)
            return True

    def withdraw(self, chat_id: int) -> list[M]:
        """Take out all that waits for one chat, in its order."""
        with self._changed:
            mine = sorted(held for held in self._heap if held.message.chat_id == chat_id)
            self._heap = [held for held in self._heap if held.message.chat_id != chat_id]
            heapq.heapify(self._heap)
            self._note_load()
            return [held.message for held in mine]

    def peek(self, priority: int, most: int) -> list[M]:
        """Those of one lane that go next, without taking them."""
        with self._changed:
            first = heapq.nsmallest(most, self._heap)
            return [held.message for held in first if held.priority == priority]

    def wait_for_load(self, most: int, seconds: float) -> None:
        """Until no more than `most` are waiting or being sent, but not longer than so. One caller
        at a time."""
        with self._room:
            self._enough = most
            self._room.wait_for(lambda: self._load() <= most, seconds)
            self._enough = -1

    def _load(self) -> int:
        return len(self._heap) + len(self._busy)

    def _note_load(self) -> None:
        if self._load() <= self._enough:
            self._room.notify_all()

    def close(self) -> list[M]:
        """No more comes: those who wait for a message stop. Returns what nobody has begun."""
        with self._changed:
            self._closed = True
            left = [held.message for held in sorted(self._heap)]
            self._heap.clear()
            self._changed.notify_all()
            self._news.notify_all()
            return left


T = TypeVar("T")


class Together(Generic[T]):
    """Does for several what threads ask for at the same time, so that one of them pays for all.

    `act` runs in one thread at a time, with all that came while it was busy before ("group
    commit"). Thread-safe.
    """

    def __init__(self, act: Callable[[list[T]], None]) -> None:
        self._act = act
        self._lock = threading.Lock()
        self._acting = False
        self._waiting: list[_Asked[T]] = []

    def do(self, item: T) -> None:
        """Returns when it is done; raises what `act` raised for the group that it was in."""
        asked = _Asked(item)
        with self._lock:
            self._waiting.append(asked)
            leads, self._acting = not self._acting, True
        if not leads:
            asked.called.acquire()  # until it is done, or this thread's turn to act
        if not asked.done:
            self._act_for_all()
        if asked.fault is not None:
            raise asked.fault

    def _act_for_all(self) -> None:
        with self._lock:
            group, self._waiting = self._waiting, []
        fault: Exception | None = None
        try:
            self._act([one.item for one in group])
        except Exception as error:
            fault = error
        for one in group:
            one.done, one.fault = True, fault
        with self._lock:
            self._acting = bool(self._waiting)
            for one in (*group, *self._waiting[:1]):
                one.called.release()


class _Asked(Generic[T]):
    def __init__(self, item: T) -> None:
        self.item = item
        self.done = False
        self.fault: Exception | None = None
        self.called = threading.Lock()
        self.called.acquire()
