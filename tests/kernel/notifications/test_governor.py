"""Turns of one process: taken ahead where that saves time, and never at a chat's cost."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
import redis

from manga_backend.kernel.notifications.service.governor import Governor, TurnsAhead
from manga_backend.kernel.notifications.settings import NotificationSettings
from manga_backend.kernel.notifications.types import Outgoing, Priority
from manga_backend.kernel.telegram.types import Reachability
from manga_backend.kit import clock
from manga_backend.kit.pacing import LocalPace, Pace, Rate, SharedPace, Turn, Wanted
from tools.services import RedisServer


@pytest.fixture(params=["local", "shared"])
def pace(request: pytest.FixtureRequest) -> Iterator[Pace]:
    if request.param == "local":
        yield LocalPace()
        return
    server: RedisServer = request.getfixturevalue("redis_server")
    connection = redis.Redis.from_url(server.url(db=8))
    connection.flushdb()
    yield SharedPace(connection, "governor")
    connection.close()


def bulk(number: int) -> Outgoing:
    return Outgoing(
        id=number,
        chat_id=1000 + number,
        text="",
        buttons=None,
        edits_message_id=None,
        priority=Priority.BULK,
        reachability=Reachability.ENABLED,
        leased_until=clock.now() + timedelta(seconds=30),
    )


def send(governor: Governor, count: int, seconds_each: float, note: Callable[[Turn], None]) -> None:
    """As one sender does: in order, each once it has a turn."""
    turns = TurnsAhead(governor)
    messages = [bulk(number) for number in range(count)]
    for place, message in enumerate(messages):
        rest = messages[place + 1 :]
        while not (turn := turns.take(message, lambda most, rest=rest: rest[:most])).granted:
            note(turn)
            time.sleep(max(0.0, turn.wait_seconds))
        note(turn)
        time.sleep(max(0.0, turn.wait_seconds) + seconds_each)


@pytest.mark.parametrize(("per_second", "seconds_each"), [(30, 0.1), (100_000, 0.004)])
def test_no_chat_rests_for_turns_that_went_by(
    pace: Pace, per_second: int, seconds_each: float
) -> None:
    """Less is sent than is allowed, as through a slow proxy: all goes at the pace of the sender."""
    found: list[Turn] = []
    begun = time.monotonic()
    send(
        Governor(NotificationSettings(per_second, 1, 20, timedelta(days=90)), pace),
        40,
        seconds_each,
        found.append,
    )
    assert [turn for turn in found if turn.narrow] == []
    assert time.monotonic() - begun < 40 * (seconds_each + 1 / per_second) + 3


def test_a_chat_that_had_a_turn_rests_from_the_one_it_uses(pace: Pace) -> None:
    common, narrow = Rate(0.0001), Rate(60.0)
    (first,) = pace.take_each(common, [Wanted("a", narrow)], None)
    (again,) = pace.take_each(common, [Wanted("a", narrow, had_one=True)], None)
    (other,) = pace.take_each(common, [Wanted("a", narrow)], None)
    assert (first.granted, again.granted, other.granted) == (True, True, False)
    assert 50 < other.wait_seconds <= 60.1
