"""Plans, subscriptions, and every change of a subscription."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import (
    CheckConstraint,
    ForeignKey,
    Index,
    Integer,
    SmallInteger,
    Text,
    UniqueConstraint,
)
from sqlalchemy.orm import Mapped, mapped_column

from manga_backend.kernel.memberships.types import NoticeStage, Source
from manga_backend.kit.db import BigId, Model, enum_type, new_id, partial_index


class Plan(Model):
    """A duration with a price, sold by one product; `names` by language."""

    __tablename__ = "plans"
    __table_args__ = (
        CheckConstraint("days > 0", name="days_positive"),
        CheckConstraint("price >= 0", name="price_not_negative"),
        partial_index("ix_plans_default", "product", where="is_default", unique=True),
    )

    code: Mapped[str] = mapped_column(Text, primary_key=True)
    product: Mapped[str] = mapped_column(Text, index=True)
    names: Mapped[dict[str, Any]]
    days: Mapped[int] = mapped_column(Integer)
    price: Mapped[int]
    currency: Mapped[str]
    is_default: Mapped[bool] = mapped_column(default=False)
    is_on_sale: Mapped[bool] = mapped_column(default=True)
    position: Mapped[int] = mapped_column(SmallInteger, default=0)

    def name(self, language: str) -> str:
        """In this language, else English, else the code."""
        return str(self.names.get(language) or self.names.get("en") or self.code)


class Subscription(Model):
    """Until when a user may use a product; `started_at` is the start of the unbroken run."""

    __tablename__ = "subscriptions"
    __table_args__ = (
        UniqueConstraint("user_id", "product"),
        CheckConstraint("expires_at >= started_at", name="ends_after_start"),
        Index(None, "product", "expires_at"),
        Index(None, "expires_at"),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    product: Mapped[str]
    plan_code: Mapped[str] = mapped_column(ForeignKey("plans.code"))
    started_at: Mapped[datetime]
    expires_at: Mapped[datetime]


class SubscriptionChange(Model):
    """Days given or taken; the unique source makes a second extension by one payment impossible."""

    __tablename__ = "subscription_changes"
    __table_args__ = (
        UniqueConstraint("source", "source_id"),
        Index(None, "user_id", "id"),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    product: Mapped[str]
    source: Mapped[Source] = mapped_column(enum_type(Source, "source"))
    source_id: Mapped[str]
    days: Mapped[int] = mapped_column(Integer)
    expired_before: Mapped[datetime | None]
    expires_after: Mapped[datetime]
    reason: Mapped[str | None]
    at: Mapped[datetime]


class SubscriptionNotice(Model):
    """That the user was told of one end at one stage; a new end is told of anew."""

    __tablename__ = "subscription_notices"
    __table_args__ = (
        UniqueConstraint("subscription_id", "stage", "expires_at"),
        Index(None, "expires_at"),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    subscription_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("subscriptions.id", ondelete="CASCADE")
    )
    stage: Mapped[NoticeStage] = mapped_column(enum_type(NoticeStage, "stage"))
    expires_at: Mapped[datetime]
    at: Mapped[datetime]
