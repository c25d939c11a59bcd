"""Money is exact, and reads as people write it."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manga_backend.kernel.money.coupons.types import PercentGift
from manga_backend.kernel.money.payments.service.intents import lowered
from manga_backend.kernel.money.payments.types import Offer
from manga_backend.kit.money import EXPONENTS, MAX_MINOR, Money, parse_decimal, read_amount

currencies = st.sampled_from(sorted(EXPONENTS))


@pytest.mark.parametrize("currency", sorted(EXPONENTS))
class TestWriting:
    @given(amount=st.integers(-MAX_MINOR, MAX_MINOR))
    def test_loses_nothing(self, currency: str, amount: int) -> None:
        written = Decimal(str(Money(amount, currency)))
        assert written.scaleb(EXPONENTS[currency]) == amount

    @given(amount=st.integers(0, MAX_MINOR))
    def test_has_two_decimals_at_least_or_none(self, currency: str, amount: int) -> None:
        decimals = str(Money(amount, currency)).partition(".")[2]
        assert len(decimals) == 0 if EXPONENTS[currency] == 0 else len(decimals) >= 2

    def test_largest_amount_fits_and_one_more_does_not(self, currency: str) -> None:
        assert str(Money(MAX_MINOR, currency))
        with pytest.raises(ValueError):
            Money(MAX_MINOR + 1, currency)


@pytest.mark.parametrize(
    ("amount", "currency", "text"),
    [
        (5_000_000, "USDT", "5.00"),
        (5_000_001, "USDT", "5.000001"),
        (5_100_000, "USDT", "5.10"),
        (1, "USD", "0.01"),
        (0, "RUB", "0.00"),
        (-150, "SAR", "-1.50"),
        (1_000_000, "IRR", "1000000"),
    ],
)
def test_reads_as_people_write_it(amount: int, currency: str, text: str) -> None:
    assert str(Money(amount, currency)) == text


def test_unknown_currency_is_refused() -> None:
    with pytest.raises(ValueError):
        Money(1, "BTC")


@pytest.mark.parametrize("currency", sorted(EXPONENTS))
class TestReading:
    @given(amount=st.integers(0, MAX_MINOR))
    def test_what_is_written_is_read_back(self, currency: str, amount: int) -> None:
        text = str(Money(amount, currency))
        assert parse_decimal(text, currency) == amount
        assert read_amount(text, currency) == amount
        assert read_amount(f"{Decimal(text):.18f}", currency) == amount  # as providers pad it

    @given(amount=st.integers(0, 10**12), zeros=st.integers(0, 6))
    def test_zeros_at_the_end_change_nothing(self, currency: str, amount: int, zeros: int) -> None:
        text = str(Money(amount, currency))
        padded = text + ("" if "." in text else ".") + "0" * zeros
        assert parse_decimal(padded.removesuffix("."), currency) == amount

    @given(whole=st.integers(0, 10**9), part=st.integers(1, 9), more=st.integers(0, 23))
    def test_a_part_of_a_minor_unit_is_refused_and_never_rounded(
        self, currency: str, whole: int, part: int, more: int
    ) -> None:
        text = f"{whole}.{'0' * (EXPONENTS[currency] + more)}{part}"
        assert parse_decimal(text, currency) is None
        assert read_amount(text, currency) is None

    @given(text=st.text() | st.from_regex(r"[-+]?\d{0,25}\.?\d{0,40}(e[-+]?\d{1,4})?"))
    def test_any_text_is_an_exact_amount_or_none(self, currency: str, text: str) -> None:
        typed, told = parse_decimal(text, currency), read_amount(text, currency)
        if typed is not None:
            assert 0 <= typed <= MAX_MINOR
            assert Decimal(text).scaleb(EXPONENTS[currency]) == typed == told
        if told is not None:
            assert abs(told) <= MAX_MINOR

    @pytest.mark.parametrize(
        "text",
        [
            "NaN",
            "sNaN",
            "Infinity",
            "-Infinity",
            "1e400",
            "1E+999999",
            "1e-400",
            "",
            " ",
            "۵",
            "5,0",
            "0x5",
        ],
    )
    def test_odd_texts_are_no_amounts(self, currency: str, text: str) -> None:
        assert parse_decimal(text, currency) is None
        assert read_amount(text, currency) is None

    @given(price=st.integers(1, MAX_MINOR), percent=st.integers(1, 99))
    def test_a_percentage_off_is_never_below_zero_nor_above_the_price(
        self, currency: str, price: int, percent: int
    ) -> None:
        offer = Offer("p", "c", "t", Money(price, currency), "f")
        left = lowered(offer, PercentGift(percent)).price
        exact = Decimal(price) * (100 - percent) / 100
        assert left.currency == currency
        assert 0 < left.amount <= price
        assert exact <= left.amount < exact + 1  # a part of a minor unit is paid in full
