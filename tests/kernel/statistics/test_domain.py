"""Half-hour slots and local days, where clocks change and where zones are half an hour off."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manga_backend.kernel.statistics.domain import (
    SLOT_SECONDS,
    day_slots,
    days_between,
    local_day,
    slot_of,
    slot_start,
)

ZONES = [
    "UTC",
    "Asia/Tehran",  # +3:30, and until 2022 summer time at midnight
    "Asia/Kolkata",  # +5:30
    "Australia/Lord_Howe",  # summer time is half an hour
    "America/St_Johns",  # -3:30 with summer time
    "Europe/Berlin",
    "America/Sao_Paulo",  # until 2019 a day could begin at 1:00
    "Asia/Tashkent",
    "Pacific/Kiritimati",
]
zones = st.sampled_from(ZONES).map(ZoneInfo)
days = st.dates(date(2016, 1, 1), date(2035, 12, 31))
moments = st.integers(0, 20 * 366 * 86_400_000).map(
    lambda ms: datetime(2016, 1, 1, tzinfo=UTC) + timedelta(milliseconds=ms)
)


class TestSlots:
    @given(moments)
    def test_a_moment_lies_in_its_half_hour(self, moment: datetime) -> None:
        start = slot_start(slot_of(moment))
        assert start <= moment < start + timedelta(seconds=SLOT_SECONDS)

    @given(st.integers(1, 2**22))
    def test_a_half_hour_begins_in_itself(self, slot: int) -> None:
        assert slot_of(slot_start(slot)) == slot
        assert slot_of(slot_start(slot) - timedelta(microseconds=1)) == slot - 1


class TestDaySlots:
    @given(days, zones)
    def test_days_follow_each_other_without_gap_or_overlap(self, day: date, zone: ZoneInfo) -> None:
        _, last = day_slots(day, zone)
        first, _ = day_slots(day + timedelta(days=1), zone)
        assert last == first

    @given(moments, zones)
    def test_a_moment_is_counted_on_its_local_day(self, moment: datetime, zone: ZoneInfo) -> None:
        first, last = day_slots(local_day(moment, zone), zone)
        assert first <= slot_of(moment) < last

    @pytest.mark.parametrize(
        ("zone", "day", "hours"),
        [
            ("Asia/Tehran", date(2026, 3, 21), 24),
            ("Asia/Tehran", date(2022, 3, 22), 23),
            ("Asia/Tehran", date(2022, 9, 21), 25),
            ("Europe/Berlin", date(2026, 3, 29), 23),
            ("Europe/Berlin", date(2026, 10, 25), 25),
            ("Australia/Lord_Howe", date(2026, 4, 5), 24.5),
            ("Australia/Lord_Howe", date(2026, 10, 4), 23.5),
            ("America/St_Johns", date(2026, 11, 1), 25),
        ],
    )
    def test_a_day_on_which_clocks_change_is_as_long_as_it_is(
        self, zone: str, day: date, hours: float
    ) -> None:
        first, last = day_slots(day, ZoneInfo(zone))
        assert (last - first) * SLOT_SECONDS == hours * 3600

    def test_a_day_in_tehran_begins_at_half_past_eight_in_the_evening(self) -> None:
        first, _ = day_slots(date(2026, 3, 21), ZoneInfo("Asia/Tehran"))
        assert slot_start(first) == datetime(2026, 3, 20, 20, 30, tzinfo=UTC)


class TestDays:
    @given(days, st.integers(0, 400))
    def test_both_ends_are_among_them(self, first: date, more: int) -> None:
        found = days_between(first, first + timedelta(days=more))
        assert (found[0], len(found), len(set(found))) == (first, more + 1, more + 1)
        assert found == sorted(found)

    def test_none_lie_between_a_day_and_the_one_before(self) -> None:
        assert days_between(date(2026, 1, 2), date(2026, 1, 1)) == []
