"""Invoices, payments and every step that they took."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index, Text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from manga_backend.kernel.money.chains.types import Network
from manga_backend.kernel.money.payments.types import InvoiceStatus, Method, PaymentStatus
from manga_backend.kit.db import BigId, Model, enum_type, new_id, partial_index

INVOICE_STEPS: dict[InvoiceStatus, frozenset[InvoiceStatus]] = {
    InvoiceStatus.DRAFT: frozenset({InvoiceStatus.OPEN, InvoiceStatus.CANCELLED}),
    InvoiceStatus.OPEN: frozenset(
        {InvoiceStatus.PAID, InvoiceStatus.EXPIRED, InvoiceStatus.CANCELLED}
    ),
    InvoiceStatus.PAID: frozenset({InvoiceStatus.REFUNDED}),
}

PAYMENT_STEPS: dict[PaymentStatus, frozenset[PaymentStatus]] = {
    PaymentStatus.PENDING: frozenset(
        {PaymentStatus.APPROVED, PaymentStatus.REJECTED, PaymentStatus.EXPIRED}
    ),
}


class Invoice(Model):
    """What a user owes for one item of one product; price and currency are copied here."""

    __tablename__ = "invoices"
    __table_args__ = (
        CheckConstraint("amount >= 0", name="amount_not_negative"),
        CheckConstraint("(status IN ('paid', 'refunded')) = (paid_at IS NOT NULL)", name="paid_at"),
        Index(None, "user_id", "id"),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    product: Mapped[str]
    item_code: Mapped[str]
    item: Mapped[dict[str, Any]]
    title: Mapped[str]
    fulfilment: Mapped[str]
    amount: Mapped[int]
    currency: Mapped[str]
    status: Mapped[InvoiceStatus] = mapped_column(enum_type(InvoiceStatus, "status"))
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime | None]
    paid_at: Mapped[datetime | None]


class Payment(Model):
    """One attempt to settle an invoice, decided once."""

    __tablename__ = "payments"
    __table_args__ = (
        CheckConstraint("amount >= 0", name="amount_not_negative"),
        CheckConstraint("(status = 'pending') = (decided_at IS NULL)", name="decided_has_time"),
        CheckConstraint(
            "method <> 'crypto' OR tx_hash IS NULL OR network IS NOT NULL", name="hash_has_network"
        ),
        # One hash, one payment: whoever is second, on any network, finds it taken.
        partial_index(
            "ix_payments_tx_hash",
            "tx_hash",
            where="status IN ('pending', 'approved') AND tx_hash IS NOT NULL",
            unique=True,
        ),
        Index(None, "tx_hash", "user_id"),
        partial_index(
            "ix_payments_invoice_settled", "invoice_id", where="status = 'approved'", unique=True
        ),
        Index(None, "invoice_id"),
        Index(None, "user_id", "status"),
        Index(None, "user_id", "id"),
        Index(None, "status", "id"),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    invoice_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("invoices.id"))
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    method: Mapped[Method] = mapped_column(enum_type(Method, "method"))
    status: Mapped[PaymentStatus] = mapped_column(enum_type(PaymentStatus, "status"))
    amount: Mapped[int]
    currency: Mapped[str]
    network: Mapped[Network | None] = mapped_column(enum_type(Network, "network"))
    tx_hash: Mapped[str | None] = mapped_column(Text)
    """64 lower-case hex digits, whatever the network."""
    verification: Mapped[dict[str, Any] | None]
    submitted_at: Mapped[datetime]
    decided_at: Mapped[datetime | None]
    decided_by: Mapped[str | None]
    decided_by_label: Mapped[str | None]
    reason: Mapped[str | None]

    invoice: Mapped[Invoice] = relationship(lazy="raise")


class InvoiceHistory(Model):
    """One step of an invoice."""

    __tablename__ = "invoice_history"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    invoice_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("invoices.id"), index=True)
    from_status: Mapped[str | None]
    to_status: Mapped[str]
    actor: Mapped[str]
    at: Mapped[datetime]


class PaymentHistory(Model):
    """One step of a payment."""

    __tablename__ = "payment_history"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    payment_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("payments.id"), index=True)
    from_status: Mapped[str | None]
    to_status: Mapped[str]
    actor: Mapped[str]
    reason: Mapped[str | None]
    at: Mapped[datetime]
