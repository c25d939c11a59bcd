"""Exact money: whole minor units with a currency, decimal strings at the edges."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

EXPONENTS = {"USDT": 6, "USD": 2, "RUB": 2, "SAR": 2, "IRR": 0, "XTR": 0}
"""How many decimals one unit of each currency has (facts.md iv; ISO 4217). XTR: Telegram Stars."""

WALLET_CURRENCIES = tuple(sorted(EXPONENTS.keys() - {"XTR"}))
"""Stars are paid with and never kept."""

MAX_MINOR = 2**63 - 1


@dataclass(frozen=True, slots=True, order=False)
class Money:
    """`amount` in minor units of `currency`."""

    amount: int
    currency: str

    def __post_init__(self) -> None:
        if self.currency not in EXPONENTS:
            raise ValueError(f"unknown currency {self.currency!r}")
        if abs(self.amount) > MAX_MINOR:
            raise ValueError("amount does not fit 64 bits")

    def __str__(self) -> str:
        return decimal_string(self.amount, self.currency)

    @property
    def with_currency(self) -> str:
        """As people read it: `5.00 USDT`."""
        return f"{self} {self.currency}"


def decimal_string(amount: int, currency: str) -> str:
    """`5000000, USDT` → `5.00`: all significant decimals, at least two where there are any."""
    exponent = EXPONENTS[currency]
    if not exponent:
        return str(amount)
    sign = "-" if amount < 0 else ""
    whole, fraction = divmod(abs(amount), 10**exponent)
    decimals = f"{fraction:0{exponent}d}".rstrip("0").ljust(2, "0")
    return f"{sign}{whole}.{decimals}"


_DECIMAL = re.compile(r"(\d{1,19})(?:\.(\d{1,18}))?", re.ASCII)


def parse_decimal(text: str, currency: str) -> int | None:
    """Minor units of `5` or `5.00` (ASCII digits, a point); None for anything else: a sign, an
    exponent, more decimals than the currency has, more than 64 bits."""
    found = _DECIMAL.fullmatch(text)
    if found is None:
        return None
    exponent = EXPONENTS[currency]
    whole, fraction = found[1], (found[2] or "").rstrip("0")
    if len(fraction) > exponent:
        return None
    amount = int(whole) * 10**exponent + int(fraction.ljust(exponent, "0") or "0")
    return amount if amount <= MAX_MINOR else None


_TOLD = re.compile(r"-?\d{1,25}(?:\.\d{1,30})?(?:[eE][+-]?\d{1,2})?", re.ASCII)


def read_amount(text: str, currency: str) -> int | None:
    """Minor units of an amount as providers write them: `5.00000000` and `5e0` are 5. None for what
    is no such amount: `NaN`, `1e400`, a part of a minor unit; nothing is ever rounded."""
    if not _TOLD.fullmatch(text):
        return None
    amount = Fraction(text) * 10 ** EXPONENTS[currency]
    return int(amount) if amount.denominator == 1 and abs(amount) <= MAX_MINOR else None
