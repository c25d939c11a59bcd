"""Money is exact, and what is no amount is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manga_backend.kit.money import EXPONENTS, MAX_MINOR, CurrencyMismatch, Money

currencies = st.sampled_from(sorted(EXPONENTS))


@pytest.mark.parametrize("currency", sorted(EXPONENTS))
class TestRoundTrip:
    @given(amount=st.integers(0, MAX_MINOR))
    def test_what_is_written_reads_back(self, currency: str, amount: int) -> None:
        assert Money.parse(str(Money(amount, currency)), currency) == Money(amount, currency)

    @given(whole=st.integers(0, 10**12), data=st.data())
    def test_decimals_keep_their_places(
        self, currency: str, whole: int, data: st.DataObject
    ) -> None:
        places = EXPONENTS[currency]
        fraction = data.draw(st.integers(0, 10**places - 1))
        text = f"{whole}.{fraction:0{places}d}" if places else str(whole)
        assert Money.parse(text, currency).amount == whole * 10**places + fraction

    @given(whole=st.integers(0, 10**6))
    def test_trailing_zeros_do_not_matter(self, currency: str, whole: int) -> None:
        assert Money.parse(f"{whole}.{'0' * 18}", currency) == Money.parse(str(whole), currency)

    def test_one_decimal_too_many_is_refused(self, currency: str) -> None:
        with pytest.raises(ValueError):
            Money.parse(f"1.{'0' * EXPONENTS[currency]}1", currency)

    def test_largest_amount_fits_and_one_more_does_not(self, currency: str) -> None:
        assert str(Money(MAX_MINOR, currency))
        with pytest.raises(ValueError):
            Money(MAX_MINOR + 1, currency)


class TestParse:
    @pytest.mark.parametrize(
        "text",
        [
            *("", " ", "NaN", "nan", "sNaN", "inf", "-inf", "Infinity", "1e400", "1E5", "5e-1"),
            *("-1", "+1", "-0", " 1", "1 ", "1\n", "1.", ".5", "1,5", "1_000", "1.5.0", "0x10"),
            *("five", "۵", "۵.۰۰", "٥", "1٫5", "１", "1" * 20, "1." + "0" * 19, "1\x00"),
        ],
    )
    def test_refuses(self, text: str) -> None:
        with pytest.raises(ValueError):
            Money.parse(text, "USDT")

    @given(text=st.text(max_size=12), currency=currencies)
    def test_reads_only_plain_ascii_decimals(self, text: str, currency: str) -> None:
        try:
            Money.parse(text, currency)
        except ValueError:
            return
        assert text.isascii()
        assert set(text) <= set("0123456789.")

    def test_more_than_64_bits_is_refused(self) -> None:
        with pytest.raises(ValueError):
            Money.parse("9" * 19, "USDT")


class TestWriting:
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
    def test_reads_as_people_write_it(self, amount: int, currency: str, text: str) -> None:
        assert str(Money(amount, currency)) == text


class TestSums:
    @given(one=st.integers(0, 10**15), other=st.integers(0, 10**15), currency=currencies)
    def test_adds_exactly(self, one: int, other: int, currency: str) -> None:
        assert (Money(one, currency) + Money(other, currency)).amount == one + other

    def test_two_currencies_do_not_meet(self) -> None:
        with pytest.raises(CurrencyMismatch):
            Money(1, "USD") + Money(1, "USDT")

    def test_unknown_currency_is_refused(self) -> None:
        with pytest.raises(ValueError):
            Money(1, "BTC")
