"""Arithmetic of subscriptions."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manga_backend.kernel.memberships.domain import DAY, days_remaining, extended

MOMENT = timedelta(microseconds=1)
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
moments = st.integers(0, 2**36).map(lambda n: datetime(2020, 1, 1, tzinfo=UTC) + n * 9007 * MOMENT)
days_given = st.integers(1, 3650)


@st.composite
def runs(draw: st.DrawFn) -> tuple[datetime, datetime]:
    """The start and the end of a subscription."""
    start = draw(moments)
    return start, start + draw(st.timedeltas(timedelta(0), timedelta(days=4000)))


class TestDaysGiven:
    @given(days_given, moments)
    def test_the_first_run_begins_now(self, days: int, now: datetime) -> None:
        assert extended(None, None, days, now) == (now, now + days * DAY)

    @given(runs(), days_given, moments)
    def test_count_from_the_later_of_now_and_the_end(
        self, run: tuple[datetime, datetime], days: int, now: datetime
    ) -> None:
        _, end = extended(*run, days, now)
        assert end == max(now, run[1]) + days * DAY

    @given(runs(), days_given, moments)
    def test_a_run_that_ended_starts_anew_and_a_live_one_keeps_its_start(
        self, run: tuple[datetime, datetime], days: int, now: datetime
    ) -> None:
        start, _ = extended(*run, days, now)
        assert start == (run[0] if run[1] > now else now)

    @given(runs(), days_given, days_given, moments)
    def test_in_two_parts_are_as_good_as_at_once(
        self, run: tuple[datetime, datetime], one: int, two: int, now: datetime
    ) -> None:
        assert extended(*extended(*run, one, now), two, now) == extended(*run, one + two, now)

    def test_a_run_that_ends_this_very_moment_is_over(self) -> None:
        assert extended(NOW - DAY, NOW, 1, NOW) == (NOW, NOW + DAY)
        assert extended(NOW - DAY, NOW + MOMENT, 1, NOW) == (NOW - DAY, NOW + MOMENT + DAY)


class TestDaysTaken:
    @given(runs(), days_given, moments)
    def test_shorten_the_end_but_not_to_before_the_start(
        self, run: tuple[datetime, datetime], days: int, now: datetime
    ) -> None:
        start, end = extended(*run, -days, now)
        assert start == run[0]
        assert end == max(run[0], run[1] - days * DAY)

    @given(days_given, moments)
    def test_from_nothing_leave_nothing(self, days: int, now: datetime) -> None:
        assert extended(None, None, -days, now) == (now, now)


class TestDaysRemaining:
    @given(st.none() | moments, moments)
    def test_cover_the_time_that_is_left_and_less_than_a_day_more(
        self, end: datetime | None, now: datetime
    ) -> None:
        days = days_remaining(end, now)
        if end is None or end <= now:
            assert days == 0
        else:
            assert (days - 1) * DAY < end - now <= days * DAY

    @pytest.mark.parametrize(
        ("left", "days"),
        [
            (-DAY, 0),
            (timedelta(0), 0),
            (MOMENT, 1),
            (DAY, 1),
            (DAY + MOMENT, 2),
            (30 * DAY, 30),
            (30 * DAY - MOMENT, 30),
        ],
    )
    def test_are_rounded_up(self, left: timedelta, days: int) -> None:
        assert days_remaining(NOW + left, NOW) == days

    def test_are_none_without_a_subscription(self) -> None:
        assert days_remaining(None, NOW) == 0
