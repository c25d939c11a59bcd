"""Withdrawals and every step that they took."""

from __future__ import annotations

import uuid
from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, Index, SmallInteger, Text
from sqlalchemy.orm import Mapped, mapped_column

from manga_backend.kernel.money.chains.domain import shown
from manga_backend.kernel.money.chains.types import Network
from manga_backend.kernel.money.payouts.types import PayoutStatus
from manga_backend.kit.db import BigId, Model, enum_type, new_id, partial_index
from manga_backend.kit.money import Money

PAYOUT_STEPS: dict[PayoutStatus, frozenset[PayoutStatus]] = {
    PayoutStatus.PENDING: frozenset({PayoutStatus.PROCESSING, PayoutStatus.CANCELLED}),
    PayoutStatus.PROCESSING: frozenset({PayoutStatus.PAID, PayoutStatus.FAILED}),
}
FINAL = (PayoutStatus.PAID, PayoutStatus.FAILED, PayoutStatus.CANCELLED)


class Payout(Model):
    """Money that a user wants out of the wallet: reserved there from the first moment (its transfer
    has the key `payout:<id>`), posted when it was sent, given back when it was not."""

    __tablename__ = "payouts"
    __table_args__ = (
        CheckConstraint("amount > 0", name="amount_positive"),
        CheckConstraint(
            "(status IN ('paid', 'failed', 'cancelled')) = (finished_at IS NOT NULL)",
            name="finished_has_time",
        ),
        Index(None, "user_id", "id"),
        Index(None, "status", "id"),
        partial_index(
            "ix_payouts_due", "ask_at", where="status = 'processing' AND ask_at IS NOT NULL"
        ),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    amount: Mapped[int]
    currency: Mapped[str]
    network: Mapped[Network] = mapped_column(enum_type(Network, "network"))
    address: Mapped[str] = mapped_column(Text)
    status: Mapped[PayoutStatus] = mapped_column(enum_type(PayoutStatus, "status"))
    requested_at: Mapped[datetime]
    decided_by_label: Mapped[str | None]
    ask_at: Mapped[datetime | None]
    """When the provider is asked next; also the lease of whoever is asking. None while it is
    processing: an admin sends it by hand."""
    attempts: Mapped[int] = mapped_column(SmallInteger, default=0)
    tried_at: Mapped[datetime | None]
    """When the provider was last told to send it."""
    told_to: Mapped[str | None]
    """The provider's account that was told: another one knows nothing of it, and would send it a
    second time."""
    is_given_up: Mapped[bool] = mapped_column(default=False)
    """An admin wants it back in the wallet, unless the provider has it after all."""
    problem: Mapped[str | None]
    """The provider's words, for admins."""
    reason: Mapped[str | None]
    """Why it was cancelled or failed, for the user."""
    reference: Mapped[str | None]
    tx_hash: Mapped[str | None] = mapped_column(Text)
    finished_at: Mapped[datetime | None]

    @property
    def money(self) -> Money:
        """What was asked for."""
        return Money(self.amount, self.currency)

    @property
    def shown_hash(self) -> str | None:
        """As the network's explorers write it."""
        return shown(self.network, self.tx_hash) if self.tx_hash else None

    @property
    def key(self) -> str:
        """Of its transfer in the book, and what messages about it are known by."""
        return f"payout:{self.id}"

    @property
    def is_by_hand(self) -> bool:
        """Whether an admin is to send it."""
        return self.status is PayoutStatus.PROCESSING and self.ask_at is None


class PayoutHistory(Model):
    """One step of a payout."""

    __tablename__ = "payout_history"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    payout_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("payouts.id"), index=True)
    from_status: Mapped[str | None]
    to_status: Mapped[str]
    actor: Mapped[str]
    reason: Mapped[str | None]
    at: Mapped[datetime]
