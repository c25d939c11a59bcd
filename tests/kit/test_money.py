"""Money is exact, and reads as people write it."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manga_backend.kit.money import EXPONENTS, MAX_MINOR, Money

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
