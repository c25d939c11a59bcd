"""Kinds of accounts and transfers, and what stands in a wallet."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum


class AccountKind(StrEnum):
    """Whose money an account counts.

    `wallet`: what we owe a user; it never goes below zero. `received`: what came to one of our
    addresses or gateways, and went out by payouts; what is ours or owed lies on the other side.
    `revenue`: what was sold of a product. `gifts`: credit that we gave away. `correction`: what an
    admin put right. `exchange`: one currency came and another was credited for it.
    """

    WALLET = "wallet"
    RECEIVED = "received"
    REVENUE = "revenue"
    GIFTS = "gifts"
    CORRECTION = "correction"
    EXCHANGE = "exchange"


class TransferState(StrEnum):
    """pending → posted | voided; most are posted at once."""

    PENDING = "pending"
    POSTED = "posted"
    VOIDED = "voided"


class TransferKind(StrEnum):
    """Why money moved."""

    SALE = "sale"
    TOP_UP = "top_up"
    EXCESS = "excess"
    GIFT = "gift"
    REFUND = "refund"
    PAYOUT = "payout"
    CORRECTION = "correction"
    EXCHANGE = "exchange"


@dataclass(frozen=True, slots=True)
class Wallet:
    """In minor units. `available` is what may be spent: the balance without what is reserved."""

    currency: str
    balance: int
    reserved: int

    @property
    def available(self) -> int:
        return self.balance - self.reserved


@dataclass(frozen=True, slots=True)
class WalletStyle:
    """How the clients of a product see wallets: the currency that is meant when none is named, and
    whether its amounts are whole units, as numbers. `word_for` names a transfer by its kind and its
    subject."""

    currency: str
    whole: bool
    word_for: Callable[[TransferKind, str], str]


@dataclass(frozen=True, slots=True)
class Move:
    """One transfer to be made: `amount` in minor units from the debited to the credited account.

    `key` makes it happen once, whatever runs twice. `subject` is what it is about
    (`payment:…`, `payout:…`).
    """

    kind: TransferKind
    debit_account_id: int
    credit_account_id: int
    amount: int
    currency: str
    key: str
    subject: str
    note: str | None = None
    actor: str | None = None
