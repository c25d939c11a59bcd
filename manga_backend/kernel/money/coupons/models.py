"""Coupons, the batches they are made in, and who redeemed them."""

from __future__ import annotations

import uuid
from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, Integer, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from manga_backend.kernel.money.coupons.types import Gift
from manga_backend.kit.db import BigId, Model, enum_type


class CouponBatch(Model):
    """Coupons made together."""

    __tablename__ = "coupon_batches"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    count: Mapped[int] = mapped_column(Integer)
    note: Mapped[str | None]
    created_by: Mapped[str]
    created_at: Mapped[datetime]


class Coupon(Model):
    """A code and what it gives; `uses` never exceeds `max_uses`, by constraint."""

    __tablename__ = "coupons"
    __table_args__ = (
        CheckConstraint("uses >= 0 AND uses <= max_uses", name="uses_within_max"),
        CheckConstraint("max_uses >= 1", name="max_uses_positive"),
        CheckConstraint(
            "(gift = 'days' AND plan_code IS NOT NULL AND days > 0"
            " AND credit_amount IS NULL AND percent IS NULL)"
            " OR (gift = 'credit' AND credit_amount > 0 AND credit_currency IS NOT NULL"
            " AND days IS NULL AND percent IS NULL)"
            " OR (gift = 'percent' AND percent BETWEEN 1 AND 100"
            " AND days IS NULL AND credit_amount IS NULL)",
            name="gives_one_thing",
        ),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    code: Mapped[str] = mapped_column(Text, unique=True)
    batch_id: Mapped[int] = mapped_column(ForeignKey("coupon_batches.id"), index=True)
    gift: Mapped[Gift] = mapped_column(enum_type(Gift, "gift"))
    plan_code: Mapped[str | None]
    days: Mapped[int | None] = mapped_column(Integer)
    credit_amount: Mapped[int | None]
    credit_currency: Mapped[str | None]
    percent: Mapped[int | None] = mapped_column(Integer)
    max_uses: Mapped[int] = mapped_column(Integer)
    uses: Mapped[int] = mapped_column(Integer, default=0)
    valid_from: Mapped[datetime | None]
    expires_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
    created_at: Mapped[datetime]


class CouponRedemption(Model):
    """One use by one user."""

    __tablename__ = "coupon_redemptions"
    __table_args__ = (UniqueConstraint("coupon_id", "user_id"),)

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    coupon_id: Mapped[int] = mapped_column(ForeignKey("coupons.id"))
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    payment_id: Mapped[uuid.UUID] = mapped_column(unique=True)
    redeemed_at: Mapped[datetime]
