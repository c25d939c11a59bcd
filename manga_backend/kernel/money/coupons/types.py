"""What a coupon gives."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Gift(StrEnum):
    """Days of a plan, credit for the wallet, or a percentage off."""

    DAYS = "days"
    CREDIT = "credit"
    PERCENT = "percent"


@dataclass(frozen=True, slots=True)
class DaysGift:
    """A redeemed coupon of days."""

    plan_code: str
    days: int


@dataclass(frozen=True, slots=True)
class CreditGift:
    """A redeemed coupon of money for the wallet: `amount` in minor units."""

    amount: int
    currency: str


@dataclass(frozen=True, slots=True)
class PercentGift:
    """A redeemed coupon of a percentage off the price."""

    percent: int


AnyGift = DaysGift | CreditGift | PercentGift
