"""Invoices, payments and every step that they took."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    Index,
    Integer,
    SmallInteger,
    Text,
    UniqueConstraint,
)
from sqlalchemy.orm import Mapped, mapped_column, relationship

from manga_backend.kernel.money.chains.domain import shown
from manga_backend.kernel.money.chains.types import Network
from manga_backend.kernel.money.payments.types import (
    IntentStatus,
    InvoiceStatus,
    Method,
    PaymentStatus,
)
from manga_backend.kit.db import BigId, Model, enum_type, new_id, partial_index

INVOICE_STEPS: dict[InvoiceStatus, frozenset[InvoiceStatus]] = {
    InvoiceStatus.DRAFT: frozenset({InvoiceStatus.OPEN, InvoiceStatus.CANCELLED}),
    InvoiceStatus.OPEN: frozenset(
        {InvoiceStatus.PAID, InvoiceStatus.EXPIRED, InvoiceStatus.CANCELLED}
    ),
    InvoiceStatus.PAID: frozenset({InvoiceStatus.REFUNDED}),
    InvoiceStatus.EXPIRED: frozenset({InvoiceStatus.OPEN}),
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
        partial_index(
            "ix_payments_to_verify",
            "verify_at",
            where="status = 'pending' AND verify_at IS NOT NULL",
        ),
        partial_index("ix_payments_intent", "intent_id", where="intent_id IS NOT NULL"),
        partial_index(
            "ix_payments_charge", "charge_id", where="charge_id IS NOT NULL", unique=True
        ),
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
    address: Mapped[str | None] = mapped_column(Text)
    """Ours, to which it should have been paid: as it was then, whatever it is now."""
    intent_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("payment_intents.id"))
    verification: Mapped[dict[str, Any] | None]
    """The chain's verdict and what it rests on (service/verify.py)."""
    verify_at: Mapped[datetime | None]
    """When the chain or the provider is asked next, which is also the lease of whoever is asking;
    of an invoice in Stars when it can't be paid any more."""
    verify_attempts: Mapped[int] = mapped_column(SmallInteger, default=0, server_default="0")
    charge_id: Mapped[str | None] = mapped_column(Text)
    """Telegram's name of a payment in Stars."""
    submitted_at: Mapped[datetime]
    decided_at: Mapped[datetime | None]
    decided_by: Mapped[str | None]
    decided_by_label: Mapped[str | None]
    reason: Mapped[str | None]

    invoice: Mapped[Invoice] = relationship(lazy="raise")

    @property
    def shown_hash(self) -> str | None:
        """As the network's explorers write it."""
        return shown(self.network, self.tx_hash) if self.network and self.tx_hash else None


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


class PaymentIntent(Model):
    """A promise to pay an amount that nobody else pays meanwhile: the transfer that brings exactly
    it needs no hash to be known."""

    __tablename__ = "payment_intents"
    __table_args__ = (
        CheckConstraint("amount > 0", name="amount_positive"),
        CheckConstraint("(status = 'settled') = (settled_at IS NOT NULL)", name="settled_has_time"),
        partial_index(
            "ix_payment_intents_open_amount",
            *("network", "amount"),
            where="status = 'open'",
            unique=True,
        ),
        partial_index("ix_payment_intents_open", "expires_at", where="status = 'open'"),
        Index(None, "network", "amount", "created_at"),
        Index(None, "user_id", "id"),
        Index(None, "invoice_id"),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    invoice_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("invoices.id"))
    network: Mapped[Network] = mapped_column(enum_type(Network, "network"))
    address: Mapped[str]
    amount: Mapped[int]
    """In minor units: the price and a few of the last decimals."""
    currency: Mapped[str]
    status: Mapped[IntentStatus] = mapped_column(enum_type(IntentStatus, "status"))
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    settled_at: Mapped[datetime | None]

    invoice: Mapped[Invoice] = relationship(lazy="raise")


class ChainTransfer(Model):
    """What came to one of our addresses, whoever sent it: one row for each transfer."""

    __tablename__ = "chain_transfers"
    __table_args__ = (
        UniqueConstraint("network", "tx_hash", "log_index"),
        partial_index("ix_chain_transfers_unmatched", "seen_at", where="payment_id IS NULL"),
        partial_index("ix_chain_transfers_payment", "payment_id", where="payment_id IS NOT NULL"),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    network: Mapped[Network] = mapped_column(enum_type(Network, "network"))
    tx_hash: Mapped[str]
    log_index: Mapped[int] = mapped_column(Integer)
    address: Mapped[str]
    """Ours, to which it came."""
    sender: Mapped[str]
    raw_amount: Mapped[str]
    """In the token's own units, decimal digits: 18 decimals overflow 64 bits."""
    amount: Mapped[int]
    block_time: Mapped[datetime]
    seen_at: Mapped[datetime]
    payment_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("payments.id"))

    @property
    def shown_hash(self) -> str:
        """As the network's explorers write it."""
        return shown(self.network, self.tx_hash)

    @property
    def currency(self) -> str:
        """No other token is read."""
        return "USDT"


class ChainCursor(Model):
    """How far the transfers to one of our addresses were read."""

    __tablename__ = "chain_cursors"

    network: Mapped[Network] = mapped_column(enum_type(Network, "network"), primary_key=True)
    address: Mapped[str] = mapped_column(Text, primary_key=True)
    cursor: Mapped[str]
    read_at: Mapped[datetime]
    problem: Mapped[str | None]


class StarsRefund(Model):
    """Stars on their way back to who paid them. What they bought is reserved meanwhile; of a
    surplus (an invoice that was paid twice, or too late) nothing was bought."""

    __tablename__ = "stars_refunds"
    __table_args__ = (partial_index("ix_stars_refunds_due", "due_at", where="settled_at IS NULL"),)

    charge_id: Mapped[str] = mapped_column(Text, primary_key=True)
    payment_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("payments.id"), index=True)
    payer_id: Mapped[int] = mapped_column(BigInteger)
    """Telegram's."""
    is_surplus: Mapped[bool]
    reason: Mapped[str]
    actor: Mapped[str]
    requested_at: Mapped[datetime]
    due_at: Mapped[datetime]
    """When Telegram is asked next; also the lease of whoever is asking."""
    attempts: Mapped[int] = mapped_column(SmallInteger, default=0)
    times: Mapped[int] = mapped_column(SmallInteger, default=1)
    """How often it was asked for: what was refused for good may be asked for again."""
    problem: Mapped[str | None]
    settled_at: Mapped[datetime | None]

    @property
    def is_refused(self) -> bool:
        """For good, unless it is asked for again."""
        return self.settled_at is not None and self.problem is not None

    @property
    def key(self) -> str:
        """Of the transfer that reserves what the Stars bought."""
        return refund_key(self.payment_id, self.times)


def refund_key(payment_id: uuid.UUID, times: int) -> str:
    """Each time of its own: a transfer that was voided is over."""
    again = f":{times}" if times > 1 else ""
    return f"payment:{payment_id}:refund{again}"
