"""The send governor: Telegram's limits, kept before they bite, by all processes together."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping

from manga_backend.kernel.notifications.settings import NotificationSettings
from manga_backend.kernel.notifications.types import Outgoing, Priority
from manga_backend.kit.pacing import AppPace, Pace, Rate, Turn, Wanted
from manga_backend.kit.registry import extensions
from manga_backend.kit.settings import settings

BULK_PATIENCE_SECONDS = 0.15
"""Broadcasts take no turn that lies further ahead; what is urgent then never waits much longer."""
URGENT_PATIENCE_SECONDS = 5.0
"""Further ahead lies a rest that Telegram asked for: nobody sleeps through it with a lease."""
CAREFUL = 0.985
"""Of the common limit: arrivals bunch a little on their way, and Telegram counts arrivals."""
LATENESS_SECONDS = 1 - CAREFUL
"""A call so much after its turn still keeps every window of a second within the limit."""
LATE_TURN_SECONDS = LATENESS_SECONDS / 2
"""A turn that nobody took can be had so much later: what is left of the above is the time to use
it, without which nothing could be taken ahead where less is sent than is allowed."""
MOST_AHEAD = 7
FORGOTTEN_AFTER_SECONDS = 60.0
"""Longer than any message is in hand."""
PRIVATE_BURST = 2
GROUP_BURST = 5
"""Within any minute a group gets the burst and what the rest of the minute allows: 20 in all."""
_GOVERNOR = "notifications.governor"


class Governor:
    """The turns of one bot. Thread-safe; needs an app context."""

    def __init__(self, config: NotificationSettings, pace: Pace) -> None:
        self._pace = pace
        self._common = Rate(1 / (config.per_second * CAREFUL), late_seconds=LATE_TURN_SECONDS)
        self._private = Rate(1 / config.per_chat_per_second, PRIVATE_BURST)
        burst = min(GROUP_BURST, max(1, config.per_group_per_minute // 4))
        self._group = Rate(60 / max(1, config.per_group_per_minute - burst), burst)
        self._lock = threading.Lock()
        self._busy_chat: int | None = None
        self._busy_until = 0.0

    def take_turn(self, chat_id: int) -> Turn:
        """May an urgent message leave, and after how long?"""
        rate = self._rate_of(chat_id)
        return self._pace.take(self._common, str(chat_id), rate, URGENT_PATIENCE_SECONDS)

    def take_bulk_turns(self, chats: Mapping[int, bool]) -> list[Turn]:
        """The same for messages of broadcasts, which leave the queue to others. The chats that have
        had a turn for this message already, which went by unused, rest no more for it."""
        wanted = [
            Wanted(str(chat_id), self._rate_of(chat_id), had_one=had_one)
            for chat_id, had_one in chats.items()
        ]
        return self._pace.take_each(self._common, wanted, BULK_PATIENCE_SECONDS)

    def step_seconds(self, chat_id: int) -> float:
        """How far apart messages to this chat are in the long run."""
        return self._rate_of(chat_id).interval_seconds

    def note_busy(self, chat_id: int, retry_after_seconds: float) -> None:
        """Telegram said 429: this chat rests. When a second chat hears it meanwhile, it is the bot
        that has to rest, and all messages wait: trying on would only lengthen it."""
        self._pace.rest(str(chat_id), retry_after_seconds)
        now = time.monotonic()
        with self._lock:
            everybody = now < self._busy_until and self._busy_chat != chat_id
            self._busy_chat, self._busy_until = chat_id, now + retry_after_seconds
        if everybody:
            self._pace.rest(None, retry_after_seconds)

    def _rate_of(self, chat_id: int) -> Rate:
        return self._private if chat_id > 0 else self._group


class TurnsAhead:
    """The turns of what one process holds: those of broadcasts are taken for several at once, and
    kept until their moment. Thread-safe; needs an app context.

    Where sending is slow, as through a proxy far away, what is taken ahead goes by unused, and
    others could have had it: fewer are taken then, down to none.
    """

    def __init__(self, governor: Governor) -> None:
        self._governor = governor
        self._lock = threading.Lock()
        self._moments: dict[int, float] = {}
        """Of messages that had a turn, gone by or not."""
        self._ahead = MOST_AHEAD

    def take(self, out: Outgoing, next_bulk: Callable[[int], Iterable[Outgoing]]) -> Turn:
        """A turn for this message; `next_bulk` names so many whose turns may be taken along."""
        if out.priority < Priority.BULK:
            return self._governor.take_turn(out.chat_id)
        with self._lock:
            now = time.monotonic()
            oldest = now - LATENESS_SECONDS
            moment = self._moments.get(out.id)
            if moment is not None and moment >= oldest:
                del self._moments[out.id]
                return Turn(True, moment - now)
            self._ahead = self._ahead // 2 if moment else min(self._ahead + 1, MOST_AHEAD)
            group = {out.chat_id: out}
            for other in next_bulk(self._ahead):
                if self._moments.get(other.id, 0.0) < oldest:
                    group.setdefault(other.chat_id, other)
            had_one = {chat_id: one.id in self._moments for chat_id, one in group.items()}
            turns = self._governor.take_bulk_turns(had_one)
            for one, turn in zip(group.values(), turns, strict=True):
                if turn.granted:
                    self._moments[one.id] = now + turn.wait_seconds
            if turns[0].granted:
                del self._moments[out.id]
            self._forget(now - FORGOTTEN_AFTER_SECONDS)
            return turns[0]

    def _forget(self, before: float) -> None:
        """What was given back, or left by somebody else."""
        while self._moments and self._moments[first := next(iter(self._moments))] < before:
            del self._moments[first]


def governor() -> Governor:
    """This app's governor."""
    known = extensions()
    if _GOVERNOR not in known:
        known[_GOVERNOR] = Governor(settings(NotificationSettings), AppPace("telegram:pace"))
    found: Governor = known[_GOVERNOR]
    return found
