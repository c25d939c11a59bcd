"""Accounts and the transfers between them. The database refuses what would make the book wrong."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Text,
    UniqueConstraint,
)
from sqlalchemy.orm import Mapped, mapped_column

from manga_backend.kernel.money.ledger.types import AccountKind, TransferKind, TransferState
from manga_backend.kit.db import BigId, Model, enum_type, partial_index

TRANSFER_STEPS: dict[TransferState, frozenset[TransferState]] = {
    TransferState.PENDING: frozenset({TransferState.POSTED, TransferState.VOIDED}),
}


class Account(Model):
    """Sums of its transfers, kept with each of them. What a wallet holds is
    `credits_posted - debits_posted`; of that, `debits_pending` is reserved."""

    __tablename__ = "ledger_accounts"
    __table_args__ = (
        UniqueConstraint("id", "currency"),
        CheckConstraint(
            "debits_posted >= 0 AND credits_posted >= 0"
            " AND debits_pending >= 0 AND credits_pending >= 0",
            name="sums_not_negative",
        ),
        CheckConstraint(
            "kind <> 'wallet' OR credits_posted - debits_posted - debits_pending >= 0",
            name="wallet_not_negative",
        ),
        CheckConstraint("(kind = 'wallet') = (user_id IS NOT NULL)", name="wallet_has_user"),
        partial_index(
            "ix_ledger_accounts_wallet",
            *("user_id", "currency"),
            where="kind = 'wallet'",
            unique=True,
        ),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    code: Mapped[str] = mapped_column(Text, unique=True)
    """`wallet:7:USDT`, `received:tron:USDT`, `revenue:manga:USDT` …; of a busy account the parts
    end in `#0`, `#1` …"""
    kind: Mapped[AccountKind] = mapped_column(enum_type(AccountKind, "kind"))
    currency: Mapped[str]
    user_id: Mapped[int | None] = mapped_column(ForeignKey("users.id"))
    debits_posted: Mapped[int] = mapped_column(BigInteger, default=0)
    credits_posted: Mapped[int] = mapped_column(BigInteger, default=0)
    debits_pending: Mapped[int] = mapped_column(BigInteger, default=0)
    credits_pending: Mapped[int] = mapped_column(BigInteger, default=0)
    created_at: Mapped[datetime]

    @property
    def balance(self) -> int:
        """What it holds, in minor units."""
        return self.credits_posted - self.debits_posted


class Transfer(Model):
    """An amount from one account to another, never half of it. Only its state changes, once."""

    __tablename__ = "ledger_transfers"
    __table_args__ = (
        CheckConstraint("amount > 0", name="amount_positive"),
        CheckConstraint("debit_account_id <> credit_account_id", name="two_accounts"),
        CheckConstraint("(state = 'pending') = (settled_at IS NULL)", name="settled_has_time"),
        # Both accounts are of the transfer's currency: nothing is ever converted in passing.
        ForeignKeyConstraint(
            ["debit_account_id", "currency"], ["ledger_accounts.id", "ledger_accounts.currency"]
        ),
        ForeignKeyConstraint(
            ["credit_account_id", "currency"], ["ledger_accounts.id", "ledger_accounts.currency"]
        ),
        Index(None, "debit_account_id", "id"),
        Index(None, "credit_account_id", "id"),
        Index(None, "subject"),
        partial_index("ix_ledger_transfers_pending", "id", where="state = 'pending'"),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    key: Mapped[str] = mapped_column(Text, unique=True)
    kind: Mapped[TransferKind] = mapped_column(enum_type(TransferKind, "kind"))
    state: Mapped[TransferState] = mapped_column(enum_type(TransferState, "state"))
    debit_account_id: Mapped[int] = mapped_column(BigInteger)
    credit_account_id: Mapped[int] = mapped_column(BigInteger)
    amount: Mapped[int] = mapped_column(BigInteger)
    currency: Mapped[str]
    subject: Mapped[str]
    debit_after: Mapped[int | None] = mapped_column(BigInteger)
    credit_after: Mapped[int | None] = mapped_column(BigInteger)
    """What a wallet on that side had to spend after it; of accounts of ours nothing is kept."""
    note: Mapped[str | None]
    actor: Mapped[str | None]
    created_at: Mapped[datetime]
    settled_at: Mapped[datetime | None]
