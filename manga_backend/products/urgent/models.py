"""Orders, who took them, profiles, reviews, complaints, and what the live list is told of."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    Index,
    SmallInteger,
    Text,
    UniqueConstraint,
)
from sqlalchemy.orm import Mapped, mapped_column

from manga_backend.kit.db import BigId, Json, Model, enum_type, partial_index
from manga_backend.products.urgent.types import CURRENCY, ComplaintStatus, Frequency, OrderStatus

ORDER_STEPS: dict[OrderStatus, frozenset[OrderStatus]] = {
    OrderStatus.ACTIVE: frozenset(
        {
            OrderStatus.EXPIRED,
            OrderStatus.DELETED,
            OrderStatus.CLOSED_NO_RESPONSE,
            OrderStatus.COMPLETED,
        }
    ),
    OrderStatus.EXPIRED: frozenset({OrderStatus.COMPLETED}),
}


class Order(Model):
    """What a client needs within the hour. `*_key` is what a filter compares."""

    __tablename__ = "urgent_orders"
    __table_args__ = (
        CheckConstraint("executors_count BETWEEN 0 AND 3", name="at_most_three_executors"),
        CheckConstraint("(executors_count = 0) = (first_taken_at IS NULL)", name="taken_has_time"),
        CheckConstraint("answered_at IS NULL OR executors_count > 0", name="answered_is_taken"),
        CheckConstraint("(status = 'completed') = (completed_by IS NOT NULL)", name="done_by"),
        Index(None, "status", "city_key", "category_key", "created_at"),
        Index(None, "status", "category_key", "created_at"),
        Index(None, "status", "city_key", "created_at"),
        Index(None, "status", "created_at"),
        Index(None, "client_id", "created_at"),
        Index(None, "changed_at"),
        partial_index(
            "ix_urgent_orders_unanswered",
            "first_taken_at",
            where="status = 'active' AND first_taken_at IS NOT NULL AND answered_at IS NULL",
        ),
        partial_index("ix_urgent_orders_to_tell", "created_at", where="told_upto IS NOT NULL"),
        partial_index(
            "ix_urgent_orders_completed_by", "completed_by", where="completed_by IS NOT NULL"
        ),
    )

    id: Mapped[str] = mapped_column(Text, primary_key=True)
    client_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    category: Mapped[str]
    category_key: Mapped[str]
    description: Mapped[str]
    city: Mapped[str]
    city_key: Mapped[str]
    contact: Mapped[str]
    status: Mapped[OrderStatus] = mapped_column(enum_type(OrderStatus, "status"))
    executors_count: Mapped[int] = mapped_column(SmallInteger, default=0)
    first_taken_at: Mapped[datetime | None]
    answered_at: Mapped[datetime | None]
    completed_by: Mapped[int | None] = mapped_column(ForeignKey("users.id"))
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    changed_at: Mapped[datetime]
    told_upto: Mapped[int | None] = mapped_column(BigInteger)
    """Executors who want to hear at once are told in the order of their ids: who was last. None:
    all were."""


class Take(Model):
    """One executor who paid to see one order's contact; `refunded_at`: and got it back."""

    __tablename__ = "urgent_takes"
    __table_args__ = (UniqueConstraint("order_id", "executor_id"), Index(None, "executor_id", "id"))

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    order_id: Mapped[str] = mapped_column(ForeignKey("urgent_orders.id"))
    executor_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    price: Mapped[int]
    """In minor units of RUB."""
    taken_at: Mapped[datetime]
    answered_at: Mapped[datetime | None]
    refunded_at: Mapped[datetime | None]

    @property
    def currency(self) -> str:
        """No other is paid with."""
        return CURRENCY


class Profile(Model):
    """What executors are known by, and what they want to hear of."""

    __tablename__ = "urgent_profiles"
    __table_args__ = (
        CheckConstraint("ratings_count >= 0 AND rating_sum >= 0", name="ratings_not_negative"),
        partial_index("ix_urgent_profiles_digest", "digest_at", where="digest_at IS NOT NULL"),
    )

    user_id: Mapped[int] = mapped_column(
        ForeignKey("users.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    completed_orders_count: Mapped[int] = mapped_column(BigInteger, default=0)
    rating_sum: Mapped[int] = mapped_column(BigInteger, default=0)
    ratings_count: Mapped[int] = mapped_column(BigInteger, default=0)
    categories: Mapped[list[Any]] = mapped_column(Json, default=list)
    cities: Mapped[list[Any]] = mapped_column(Json, default=list)
    frequency: Mapped[Frequency] = mapped_column(
        enum_type(Frequency, "frequency"), default=Frequency.INSTANT
    )
    digest_at: Mapped[datetime | None]
    """When the next digest is due, of whoever wants one."""
    digested_at: Mapped[datetime | None]
    """Orders after this moment are news for it."""


class Interest(Model):
    """One pair of what a profile follows; an empty key stands for all."""

    __tablename__ = "urgent_interests"
    __table_args__ = (Index(None, "city_key", "category_key", "user_id"),)

    user_id: Mapped[int] = mapped_column(
        ForeignKey("users.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    category_key: Mapped[str] = mapped_column(Text, primary_key=True)
    city_key: Mapped[str] = mapped_column(Text, primary_key=True)


class Review(Model):
    """A client's word on an executor; a hidden one counts for nothing."""

    __tablename__ = "urgent_reviews"
    __table_args__ = (
        CheckConstraint("rating BETWEEN 1 AND 5", name="one_to_five"),
        UniqueConstraint("order_id", "client_id"),
        Index(None, "client_id"),
        Index(None, "executor_id", "id"),
        Index(None, "rating", "id"),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    order_id: Mapped[str] = mapped_column(ForeignKey("urgent_orders.id"))
    client_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    executor_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    rating: Mapped[int] = mapped_column(SmallInteger)
    comment: Mapped[str | None]
    created_at: Mapped[datetime]
    hidden_at: Mapped[datetime | None]
    hidden_reason: Mapped[str | None]


class Complaint(Model):
    """An executor's word on an order that was not worth its price; an admin decides."""

    __tablename__ = "urgent_complaints"
    __table_args__ = (
        UniqueConstraint("order_id", "executor_id"),
        Index(None, "executor_id", "id"),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    order_id: Mapped[str] = mapped_column(ForeignKey("urgent_orders.id"))
    executor_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    reason: Mapped[str]
    comment: Mapped[str | None]
    status: Mapped[ComplaintStatus] = mapped_column(enum_type(ComplaintStatus, "status"))
    created_at: Mapped[datetime]
    decided_at: Mapped[datetime | None]
    note: Mapped[str | None]


class OrderChange(Model):
    """That an order came, changed or went; the live list reads them in the order of their ids."""

    __tablename__ = "urgent_changes"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    order_id: Mapped[str] = mapped_column(ForeignKey("urgent_orders.id"), index=True)
    at: Mapped[datetime] = mapped_column(index=True)
