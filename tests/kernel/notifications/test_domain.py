"""The hand from which a process sends, and what threads do together."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

import pytest

from manga_backend.kernel.notifications.domain import Hand, Together
from tests.support import at_once


@dataclass(frozen=True)
class Letter:
    """Something for one chat, in one lane."""

    chat_id: int
    priority: int = 2


class TestTogether:
    def test_each_item_is_done_once_by_one_thread_at_a_time(self) -> None:
        groups: list[list[int]] = []
        acting = threading.Lock()

        def act(items: list[int]) -> None:
            assert acting.acquire(blocking=False)
            groups.append(items)
            time.sleep(0.002)
            acting.release()

        together = Together(act)

        def ask(number: int) -> None:
            for item in range(50):
                together.do(number * 100 + item)
                assert any(number * 100 + item in group for group in groups)

        at_once(8, ask)
        done = sorted(item for group in groups for item in group)
        assert done == sorted(n * 100 + i for n in range(8) for i in range(50))
        assert len(groups) < 200  # most of them in company

    def test_a_fault_reaches_everybody_in_the_group_and_nobody_else(self) -> None:
        begun, go_on = threading.Event(), threading.Event()

        def act(items: list[str]) -> None:
            if items == ["first"]:
                begun.set()
                assert go_on.wait(60)
            elif "bad" in items:
                raise ValueError(",".join(sorted(items)))

        together = Together(act)
        found: dict[str, str] = {}

        def ask(item: str) -> None:
            try:
                together.do(item)
            except ValueError as error:
                found[item] = str(error)

        threads = [threading.Thread(target=ask, args=(item,)) for item in ("first", "bad", "good")]
        threads[0].start()
        assert begun.wait(30)
        for thread in threads[1:]:
            thread.start()
        deadline = time.monotonic() + 30
        while len(together._waiting) < 2 and time.monotonic() < deadline:
            time.sleep(0.001)
        go_on.set()
        for thread in threads:
            thread.join(30)
        assert found == {"bad": "bad,good", "good": "bad,good"}
        together.do("later")


class TestPeek:
    def test_names_one_lane_in_its_order_and_takes_nothing(self) -> None:
        hand = Hand[Letter]()
        hand.add([Letter(1), Letter(2), Letter(3, 0), Letter(4)], time.monotonic() + 9)
        assert [one.chat_id for one in hand.peek(2, 3)] == [1, 2]  # the urgent one goes before
        assert hand.load == 4
        taken = hand.take()
        assert taken is not None
        assert taken.message.chat_id == 3


class TestWaitForLoad:
    def test_whoever_fills_it_wakes_when_it_runs_low(self) -> None:
        hand = Hand[Letter]()
        hand.add([Letter(n) for n in range(6)], time.monotonic() + 9)

        def empty() -> None:
            for _ in range(4):
                time.sleep(0.01)
                held = hand.take()
                assert held is not None
                hand.done(held)

        sender = threading.Thread(target=empty)
        started = time.monotonic()
        sender.start()
        hand.wait_for_load(2, 60)
        assert hand.load == 2
        assert time.monotonic() - started < 30
        sender.join()

    @pytest.mark.parametrize("seconds", [0.0, 0.05])
    def test_no_longer_than_asked(self, seconds: float) -> None:
        hand = Hand[Letter]()
        hand.add([Letter(1)], time.monotonic() + 9)
        hand.wait_for_load(0, seconds)
        assert hand.load == 1
