"""Turns: never faster than allowed, in one process or many, whoever asks at once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from itertools import pairwise

import pytest
import redis
from hypothesis import given, settings
from hypothesis import strategies as st

from manga_backend.kit.app import App
from manga_backend.kit.pacing import (
    ALONE_DIVISOR,
    AppPace,
    LocalPace,
    Pace,
    Rate,
    SharedPace,
    Turn,
    Wanted,
)
from tests.conftest import Deployment
from tests.support import at_once
from tests.variants import variant
from tools.services import RedisServer

FAST = Rate(0.000_001)
FREE = Rate(0.0, 1)


@pytest.fixture(params=["local", "shared"])
def new_pace(request: pytest.FixtureRequest) -> Iterator[Callable[[], Pace]]:
    """A pace of one process, or of all that share a Redis."""
    if request.param == "local":
        yield LocalPace
        return
    server: RedisServer = request.getfixturevalue("redis_server")
    connection = redis.Redis.from_url(server.url(db=7))
    connection.flushdb()
    names = iter(f"pace-{number}" for number in range(1000))
    yield lambda: SharedPace(connection, next(names))
    connection.close()


def spend(pace: Pace, common: Rate, recipient: str, narrow: Rate = FREE) -> float:
    """Take a turn, wait for it; the moment at which the call would leave."""
    turn = pace.take(common, recipient, narrow, None)
    assert turn.granted
    return time.monotonic() + turn.wait_seconds


class TestCommonRate:
    def test_turns_lie_an_interval_apart_and_none_is_lost(
        self, new_pace: Callable[[], Pace]
    ) -> None:
        pace = new_pace()
        moments = [spend(pace, Rate(60), str(number)) for number in range(20)]
        assert all(50 < later - earlier < 70 for earlier, later in pairwise(moments))

    def test_a_rest_earns_no_burst(self, new_pace: Callable[[], Pace]) -> None:
        pace = new_pace()
        spend(pace, Rate(0.05), "a")
        time.sleep(0.3)
        turns = pace.take_each(Rate(0.05), [Wanted(str(n), FREE) for n in range(3)], None)
        assert [turn.wait_seconds for turn in turns] == pytest.approx([0, 0.05, 0.1], abs=1e-3)

    def test_many_threads_share_one_rate(self, new_pace: Callable[[], Pace]) -> None:
        pace = new_pace()
        # Counted from before the first is asked for: when its answer is seen says nothing.
        start = time.monotonic()
        last = max(
            moment
            for part in at_once(
                8, lambda n: [spend(pace, Rate(0.005), f"{n}-{i}") for i in range(10)]
            )
            for moment in part
        )
        assert last - start > 79 * 0.005 - 0.001

    def test_patience_leaves_the_queue_to_others(self, new_pace: Callable[[], Pace]) -> None:
        pace = new_pace()
        granted = [pace.take(Rate(60), str(n), FREE, 150) for n in range(6)]
        assert [turn.granted for turn in granted] == [True] * 3 + [False] * 3
        refused = granted[-1]
        assert not refused.narrow
        assert 0 < refused.wait_seconds <= 60
        # Whoever is urgent still gets the very next turn: nothing was taken by the refused.
        assert pace.take(Rate(60), "urgent", FREE, None).wait_seconds < 186


class TestTurnsForSeveral:
    def test_one_after_the_other_and_whoever_has_to_rest_takes_none(
        self, new_pace: Callable[[], Pace]
    ) -> None:
        pace, slow = new_pace(), Rate(600)
        assert pace.take(Rate(0.1), "tired", slow, None).granted
        wanted = [Wanted("a", FREE), Wanted("tired", slow), Wanted("b", FREE), Wanted("c", slow)]
        turns = pace.take_each(Rate(0.1), wanted, None)
        assert [(turn.granted, turn.narrow) for turn in turns] == [
            *((True, False), (False, True), (True, False), (True, False))
        ]
        a, tired, b, c = (turn.wait_seconds for turn in turns)
        assert (b - a, c - b) == (pytest.approx(0.1, abs=1e-3), pytest.approx(0.1, abs=1e-3))
        assert 590 < tired <= 600
        assert pace.take(Rate(0.1), "c", slow, None).narrow

    def test_what_lies_beyond_patience_is_not_taken(self, new_pace: Callable[[], Pace]) -> None:
        pace = new_pace()
        turns = pace.take_each(Rate(60), [Wanted(str(n), FREE) for n in range(6)], 150)
        assert [turn.granted for turn in turns] == [True] * 3 + [False] * 3
        assert pace.take(Rate(60), "urgent", FREE, None).wait_seconds < 186


class TestNarrowRate:
    def test_one_recipient_rests_and_others_do_not(self, new_pace: Callable[[], Pace]) -> None:
        pace, narrow = new_pace(), Rate(60, 2)
        turns = [pace.take(FAST, "a", narrow, None) for _ in range(3)]
        assert [turn.granted for turn in turns] == [True, True, False]
        assert turns[2].narrow
        assert 50 < turns[2].wait_seconds <= 60
        assert pace.take(FAST, "b", narrow, None).granted

    def test_what_was_refused_took_no_common_turn(self, new_pace: Callable[[], Pace]) -> None:
        pace = new_pace()
        assert pace.take(Rate(100), "a", Rate(600), None).granted
        for _ in range(5):
            assert pace.take(Rate(100), "a", Rate(600), None).narrow
        assert 90 < pace.take(Rate(100), "b", Rate(600), None).wait_seconds <= 100

    def test_comes_back_after_its_interval(self, new_pace: Callable[[], Pace]) -> None:
        pace, narrow = new_pace(), Rate(0.2)
        while (turn := pace.take(FAST, "a", narrow, None)).granted:
            pass
        time.sleep(turn.wait_seconds + 0.005)
        assert pace.take(FAST, "a", narrow, None).granted


class TestRest:
    def test_of_one(self, new_pace: Callable[[], Pace]) -> None:
        pace = new_pace()
        pace.rest("a", 500)
        turn = pace.take(FAST, "a", FREE, None)
        assert (turn.granted, turn.narrow) == (False, True)
        assert 490 < turn.wait_seconds <= 500
        assert pace.take(FAST, "b", FREE, None).wait_seconds < 0.1

    def test_of_all(self, new_pace: Callable[[], Pace]) -> None:
        pace = new_pace()
        pace.rest(None, 500)
        assert 490 < pace.take(FAST, "a", FREE, None).wait_seconds <= 500
        assert not pace.take(FAST, "b", FREE, 0.1).granted

    def test_is_never_shortened(self, new_pace: Callable[[], Pace]) -> None:
        pace = new_pace()
        pace.rest("a", 500)
        pace.rest("a", 100)
        pace.rest(None, 500)
        pace.rest(None, 100)
        assert pace.take(FAST, "a", FREE, None).wait_seconds > 480
        assert pace.take(FAST, "b", FREE, None).wait_seconds > 480


@settings(max_examples=40)
@given(
    st.lists(st.tuples(st.integers(0, 3), st.floats(0, 0.4)), min_size=1, max_size=80),
    st.integers(1, 5),
)
def test_no_window_ever_holds_more_than_burst_and_rate(
    asked: list[tuple[int, float]], burst: int
) -> None:
    """Whatever is asked when: in any w seconds a recipient gets at most burst + w / interval."""
    pace, narrow, now = LocalPace(), Rate(0.1, burst), 1000.0
    sent: dict[int, list[float]] = {}
    with pytest.MonkeyPatch.context() as patch:
        for recipient, pause in asked:
            now += pause
            patch.setattr(time, "monotonic", lambda moment=now: moment)
            turn = pace.take(Rate(0.01), str(recipient), narrow, None)
            if turn.granted:
                sent.setdefault(recipient, []).append(now + turn.wait_seconds)
    for moments in sent.values():
        for first in range(len(moments)):
            for last in range(first, len(moments)):
                window = moments[last] - moments[first]
                assert last - first + 1 <= burst + window / 0.1 + 1e-6
    everyone = sorted(moment for moments in sent.values() for moment in moments)
    assert all(later - earlier > 0.01 - 1e-9 for earlier, later in pairwise(everyone))


class TestApp:
    def test_two_processes_share_the_rate_through_redis(
        self, on_sqlite: Deployment, redis_server: RedisServer
    ) -> None:
        url = redis_server.url(db=8)
        with variant(on_sqlite.settings, REDIS_URL=url) as app, app.app_context():
            one, other = AppPace("shared"), AppPace("shared")
            waits = [
                pace.take(Rate(100), f"{n}", FREE, None).wait_seconds
                for n, pace in enumerate((one, other, one, other))
            ]
        assert [round(wait / 100) for wait in waits] == [0, 1, 2, 3]

    def test_alone_at_a_part_of_the_rate_while_redis_is_away_and_again_together_after(
        self, on_sqlite: Deployment
    ) -> None:
        with RedisServer() as server:
            url = server.url()
            with variant(on_sqlite.settings, REDIS_URL=url) as app, app.app_context():
                pace = AppPace("away")
                assert pace.take(Rate(60), "a", FREE, None).wait_seconds < 0.05
                server.kill()
                turns = [pace.take(Rate(60), f"{n}", FREE, None) for n in range(3)]
        assert all(isinstance(turn, Turn) and turn.granted for turn in turns)
        apart = turns[2].wait_seconds - turns[1].wait_seconds
        assert apart == pytest.approx(60 * ALONE_DIVISOR, abs=30)

    def test_without_redis_threads_of_the_process_share_it(self, app: App) -> None:
        pace = AppPace("embedded")
        found: list[float] = []
        lock = threading.Lock()

        def take(number: int) -> None:
            with app.app_context():
                turn = pace.take(Rate(100), f"{number}", FREE, None)
            with lock:
                found.append(turn.wait_seconds)

        at_once(4, take)
        assert [round(wait / 100) for wait in sorted(found)] == [0, 1, 2, 3]
