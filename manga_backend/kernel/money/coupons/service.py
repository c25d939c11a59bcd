"""Making coupons and redeeming them."""

from __future__ import annotations

import uuid
from collections.abc import Collection
from datetime import datetime
from typing import Any

from sqlalchemy import select, update
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
from manga_backend.kernel.money.coupons.types import (
    AnyGift,
    CreditGift,
    DaysGift,
    Gift,
    PercentGift,
)
from manga_backend.kit import clock
from manga_backend.kit.db import session, violates
from manga_backend.kit.events import publish


def issue(
    actor: Actor,
    gift: AnyGift,
    *,
    count: int = 1,
    max_uses: int = 1,
    valid_from: datetime | None = None,
    expires_at: datetime | None = None,
    note: str | None = None,
) -> CouponBatch:
    """Make `count` coupons that each give the same. Publishes CouponsIssued; audited, without the
    codes."""
    now = clock.now()
    current = session()
    batch = CouponBatch(count=count, note=note, created_by=actor.key, created_at=now)
    current.add(batch)
    current.flush()
    codes: set[str] = set()
    while len(codes) < count:
        codes.add(new_code())
    gives = _columns(gift)
    current.add_all(
        Coupon(
            code=code,
            batch_id=batch.id,
            max_uses=max_uses,
            uses=0,
            valid_from=valid_from,
            expires_at=expires_at,
            created_at=now,
            **gives,
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
            **{name: value for name, value in gives.items() if name != "gift"},
            "count": count,
            "max_uses": max_uses,
            "expires_at": expires_at,
            "note": note,
        },
    )
    return batch


def _columns(gift: AnyGift) -> dict[str, Any]:
    if isinstance(gift, DaysGift):
        return {"gift": Gift.DAYS, "plan_code": gift.plan_code, "days": gift.days}
    if isinstance(gift, CreditGift):
        money = {"credit_amount": gift.amount, "credit_currency": gift.currency}
        return {"gift": Gift.CREDIT, **money}
    return {"gift": Gift.PERCENT, "percent": gift.percent}


def revoke(coupon_ids: Collection[int], actor: Actor) -> int:
    """Nobody can redeem these any more; what was redeemed stays. Returns how many were still good;
    the second call finds none. Audited."""
    done = session().execute(
        update(Coupon)
        .where(Coupon.id.in_(coupon_ids), Coupon.revoked_at.is_(None))
        .values(revoked_at=clock.now())
    )
    count: int = done.rowcount  # type: ignore[attr-defined]
    if count:
        named = ", ".join(map(str, sorted(coupon_ids)))
        record_audit(actor, "coupon.revoked", "coupon", named, after={"count": count})
    return count


def codes_of(batch: CouponBatch) -> list[str]:
    """The codes of a batch as people read them."""
    return [shown(coupon.code) for coupon in queries.list_batch(batch.id)]


def redeem(typed: str, user_id: int, payment_id: uuid.UUID) -> AnyGift:
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
    return _gift_of(coupon)


def _gift_of(coupon: Coupon) -> AnyGift:
    """One of them, by the table's own constraint."""
    if coupon.gift is Gift.DAYS:
        return DaysGift(plan_code=coupon.plan_code or "", days=coupon.days or 0)
    if coupon.gift is Gift.CREDIT:
        return CreditGift(coupon.credit_amount or 0, coupon.credit_currency or "")
    return PercentGift(coupon.percent or 0)


def give_back(payment_id: uuid.UUID) -> None:
    """What it was redeemed for did not come about: the use counts no more, and the user may redeem
    it again. May run twice; nothing when no coupon was redeemed for it."""
    current = session()
    redemption = current.scalar(
        select(CouponRedemption).where(CouponRedemption.payment_id == payment_id).with_for_update()
    )
    if redemption is None:
        return
    current.execute(
        update(Coupon)
        .where(Coupon.id == redemption.coupon_id, Coupon.uses > 0)
        .values(uses=Coupon.uses - 1)
    )
    current.delete(redemption)
    current.flush()
