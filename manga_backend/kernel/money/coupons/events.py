"""What happened to coupons."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class CouponsIssued:
    """A batch was made."""

    count: int


@dataclass(frozen=True, kw_only=True)
class CouponRedeemed:
    """A user took what a coupon gives."""

    coupon_id: int
    user_id: int
