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
