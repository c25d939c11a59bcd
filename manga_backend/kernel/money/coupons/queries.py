"""Reads of coupons."""

from __future__ import annotations

from sqlalchemy import select

from manga_backend.kernel.money.coupons.domain import normalised
from manga_backend.kernel.money.coupons.models import Coupon, CouponRedemption
from manga_backend.kit.db import session


def find_coupon(typed: str) -> Coupon | None:
    """By code as people type it: case, spaces and dashes don't matter."""
    code = normalised(typed)
    return session().scalar(select(Coupon).where(Coupon.code == code)) if code else None


def has_redeemed(coupon_id: int, user_id: int) -> bool:
    """Whether this user took it before."""
    found = session().scalar(
        select(CouponRedemption.id).where(
            CouponRedemption.coupon_id == coupon_id, CouponRedemption.user_id == user_id
        )
    )
    return found is not None


def list_batch(batch_id: int) -> list[Coupon]:
    """The coupons of one batch, in the order they were made."""
    return list(
        session().scalars(select(Coupon).where(Coupon.batch_id == batch_id).order_by(Coupon.id))
    )
