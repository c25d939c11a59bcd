"""Making coupons and redeeming them."""

from __future__ import annotations

import uuid
from datetime import datetime

from sqlalchemy import update
from sqlalchemy.exc import IntegrityError

from manga_backend.kernel.backoffice.service import record_audit
from manga_backend.kernel.backoffice.types import Actor
from manga_backend.kernel.money.coupons import queries
from manga_backend.kernel.money.coupons.domain import new_code, shown
from manga_backend.kernel.money.coupons.errors import (
    CouponAlreadyUsed,
    CouponExhausted,
    CouponExpired,
    CouponNotFound,
)
from manga_backend.kernel.money.coupons.events import CouponRedeemed, CouponsIssued
from manga_backend.kernel.money.coupons.models import Coupon, CouponBatch, CouponRedemption
from manga_backend.kernel.money.coupons.types import DaysGift, Gift
from manga_backend.kit import clock
from manga_backend.kit.db import session, violates
from manga_backend.kit.events import publish


def issue_days(
    actor: Actor,
    *,
    plan_code: str,
    days: int,
    count: int = 1,
    max_uses: int = 1,
    expires_at: datetime | None = None,
    note: str | None = None,
) -> CouponBatch:
    """Make `count` coupons that each give `days` of a plan. Publishes CouponsIssued; audited,
    without the codes."""
    now = clock.now()
    current = session()
    batch = CouponBatch(count=count, note=note, created_by=actor.key, created_at=now)
    current.add(batch)
    current.flush()
    codes: set[str] = set()
    while len(codes) < count:
        codes.add(new_code())
    current.add_all(
        Coupon(
            code=code,
            batch_id=batch.id,
            gift=Gift.DAYS,
            plan_code=plan_code,
            days=days,
            max_uses=max_uses,
            uses=0,
            expires_at=expires_at,
            created_at=now,
        )
        for code in sorted(codes)
    )
    current.flush()
    publish(CouponsIssued(count=count))
    record_audit(
        actor,
        "coupon.issued",
        "coupon_batch",
        batch.id,
        after={
            "count": count,
            "days": days,
            "plan": plan_code,
            "max_uses": max_uses,
            "expires_at": expires_at,
            "note": note,
        },
    )
    return batch


def codes_of(batch: CouponBatch) -> list[str]:
    """The codes of a batch as people read them."""
    return [shown(coupon.code) for coupon in queries.list_batch(batch.id)]


def redeem(typed: str, user_id: int, payment_id: uuid.UUID) -> DaysGift:
    """Take one use for this user and payment, and say what it gives.

    One conditional UPDATE decides, so any number of callers at once never exceed `max_uses`.
    Refusals: CouponNotFound, CouponAlreadyUsed, CouponExpired, CouponExhausted. Publishes
    CouponRedeemed.
    """
    coupon = queries.find_coupon(typed)
    if coupon is None:
        raise CouponNotFound
    if queries.has_redeemed(coupon.id, user_id):
        raise CouponAlreadyUsed
    now = clock.now()
    over = coupon.expires_at is not None and coupon.expires_at <= now
    early = coupon.valid_from is not None and coupon.valid_from > now
    if over or early or coupon.revoked_at is not None:
        raise CouponExpired
    current = session()
    done = current.execute(
        update(Coupon)
        .where(
            Coupon.id == coupon.id,
            Coupon.uses < Coupon.max_uses,
            Coupon.revoked_at.is_(None),
            (Coupon.expires_at.is_(None)) | (Coupon.expires_at > now),
        )
        .values(uses=Coupon.uses + 1)
    )
    if not done.rowcount:  # type: ignore[attr-defined]
        # The last use may have gone to another request of this very user meanwhile.
        raise CouponAlreadyUsed if queries.has_redeemed(coupon.id, user_id) else CouponExhausted
    current.add(
        CouponRedemption(
            coupon_id=coupon.id, user_id=user_id, payment_id=payment_id, redeemed_at=now
        )
    )
    try:
        current.flush()
    except IntegrityError as error:
        if violates(error, CouponRedemption.coupon_id, CouponRedemption.user_id):
            raise CouponAlreadyUsed from None
        raise
    publish(CouponRedeemed(coupon_id=coupon.id, user_id=user_id))
    if coupon.plan_code is None or coupon.days is None:
        raise CouponNotFound  # credit and percentages are not issued by this version
    return DaysGift(plan_code=coupon.plan_code, days=coupon.days)
