"""The rules of the clock, for any order at any moment."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manga_backend.products.urgent.domain import (
    as_contact,
    average,
    is_completable,
    is_contact,
    is_open,
    key_of,
    minutes_left,
    status_at,
    stems_of,
    visible,
)
from manga_backend.products.urgent.types import OrderStatus

START = datetime(2026, 1, 1, 12, tzinfo=UTC)
seconds = st.integers(0, 3 * 3600)


@dataclass
class AnOrder:
    status: OrderStatus = OrderStatus.ACTIVE
    first_taken_at: datetime | None = None
    answered_at: datetime | None = None
    expires_at: datetime = START + timedelta(hours=1)


def after(count: int) -> datetime:
    return START + timedelta(seconds=count)


@given(seconds)
def test_untaken_it_is_active_for_exactly_an_hour(now: int) -> None:
    order = AnOrder()
    expected = OrderStatus.ACTIVE if now < 3600 else OrderStatus.EXPIRED
    assert status_at(order, after(now)) is expected
    assert is_open(order, after(now)) is (now < 3600)


@given(st.integers(0, 3599), seconds)
def test_taken_and_silent_it_is_closed_after_a_quarter(taken: int, later: int) -> None:
    order = AnOrder(first_taken_at=after(taken))
    closed = later >= 15 * 60
    expected = OrderStatus.CLOSED_NO_RESPONSE if closed else OrderStatus.ACTIVE
    assert status_at(order, after(taken + later)) is expected
    assert is_open(order, after(taken + later)) is (not closed and taken + later < 3600)


@given(st.integers(0, 3599), st.integers(0, 899), st.integers(0, 30 * 3600))
def test_answered_it_can_be_completed_for_a_day(taken: int, answered: int, later: int) -> None:
    order = AnOrder(first_taken_at=after(taken), answered_at=after(taken + answered))
    now = taken + answered + later
    expected = OrderStatus.ACTIVE if now < 3600 else OrderStatus.EXPIRED
    assert status_at(order, after(now)) is expected
    assert is_completable(order, after(now)) is (now < 25 * 3600)


@given(st.sampled_from(sorted(OrderStatus)), seconds)
def test_what_was_closed_stays_so(status: OrderStatus, now: int) -> None:
    if status is not OrderStatus.ACTIVE:
        assert status_at(AnOrder(status=status), after(now)) is status


@given(st.integers(-10_000, 10_000))
def test_minutes_are_whole_and_never_negative(left: int) -> None:
    found = minutes_left(START + timedelta(seconds=left), START)
    assert found == max(0, left // 60)


@pytest.mark.parametrize(
    ("text", "right"),
    [
        *(
            ("+79005553535", True),
            ("8 (900) 555-35-35", True),
            ("12345", False),
            ("1234567", True),
            ("+-().. 1234567", False),
            ("(+998) 90 123 45 67", True),
            ("+998 (90) 123 -- 45 -- 67", True),
            ("(495) 123-45-67", True),
        ),
        *(("@durov", True), ("@a_b1", True), ("@1abc", False), ("durov", False)),
        *(("+", False), ("1234", False), ("+7 900 abc", False), ("1" * 16, False)),
        *(("٠٩١٢٣٤٥٦٧", False), ("@имя", False), ("", False)),
    ],
)
def test_contacts(text: str, right: bool) -> None:
    assert is_contact(text) is right


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        ("https://t.me/anna_k", "@anna_k"),
        ("t.me/anna_k", "@anna_k"),
        ("https://t.me/anna_k/", "@anna_k"),
        ("HTTPS://T.me/Anna_K", "@Anna_K"),
        ("www.telegram.me/anna_k", "@anna_k"),
        ("+7 900 555\u201135\u201335", "+7 900 555-35-35"),
        ("https://t.me/+AbCd", "https://t.me/+AbCd"),
        ("+79005553535", "+79005553535"),
    ],
)
def test_a_page_at_telegram_is_a_name(typed: str, kept: str) -> None:
    assert as_contact(typed) == kept


def test_names_are_compared_without_case_and_blanks() -> None:
    assert key_of("  САНКТ-Петербург\n ") == key_of("санкт-петербург")
    assert key_of("می\u200cخواهم") != key_of("میخواهم")  # inside, Persian needs it
    assert key_of("\u200cشهر\u200c") == key_of("شهر")


@pytest.mark.parametrize("text", ["", " \xa0\u3000", "\u2800\u3164", "\u200b\ufeff\u202e", "\t\n"])
def test_what_nobody_sees_is_nothing(text: str) -> None:
    assert visible(text) == ""
    assert visible(f"{text}два\xa0слова{text}") == "два\xa0слова"


def test_words_are_looked_for_by_their_beginning() -> None:
    assert stems_of('Сантехника "кран" * дом в') == ["сантехни", "кран", "дом"]
    assert stems_of("в") == ["в"]


def test_nobody_has_an_average_without_ratings() -> None:
    assert (average(0, 0), average(14, 3)) == (None, 4.67)
