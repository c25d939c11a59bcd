"""Reads of the book."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Select, bindparam, case, func, or_, select, union_all

from manga_backend.kernel.money.ledger.errors import TransferNotFound
from manga_backend.kernel.money.ledger.models import Account, Transfer
from manga_backend.kernel.money.ledger.types import AccountKind, TransferKind, TransferState, Wallet
from manga_backend.kit.db import session

MOST_FINDINGS = 50


_WALLETS = (
    select(
        Account.currency,
        Account.credits_posted - Account.debits_posted,
        Account.debits_pending,
    )
    .where(Account.user_id == bindparam("user"), Account.kind == AccountKind.WALLET)
    .order_by(Account.currency)
)


def list_wallets(user_id: int) -> list[Wallet]:
    """A user's wallets by currency; one that was never used is not there."""
    return [Wallet(*row) for row in session().execute(_WALLETS, {"user": user_id})]


def find_wallet(user_id: int, currency: str) -> Wallet:
    """An empty one if it was never used."""
    found = [wallet for wallet in list_wallets(user_id) if wallet.currency == currency]
    return found[0] if found else Wallet(currency, 0, 0)


def available_of(user_ids: Collection[int]) -> dict[tuple[int, str], int]:
    """(user, currency) → what may be spent of that wallet, in minor units."""
    held = Account.credits_posted - Account.debits_posted - Account.debits_pending
    rows = session().execute(
        select(Account.user_id, Account.currency, held).where(
            Account.user_id.in_(user_ids), Account.kind == AccountKind.WALLET
        )
    )
    return {(int(row[0] or 0), row[1]): row[2] for row in rows}


def gifts_left(user_id: int, currency: str) -> int:
    """What of a wallet was given and not spent, in minor units: whatever is bought, or taken out by
    an admin, is taken from the gifts first, and comes back as a gift when it is refunded."""
    own = select(Account.id).where(
        Account.user_id == user_id,
        Account.kind == AccountKind.WALLET,
        Account.currency == currency,
    )
    wallet = session().scalar(own)
    if wallet is None:
        return 0
    comes_in = Transfer.credit_account_id == wallet
    moves = session().execute(
        select(Transfer.kind, Transfer.subject, Transfer.amount, comes_in)
        .where(
            or_(comes_in, Transfer.debit_account_id == wallet),
            Transfer.state == TransferState.POSTED,
            Transfer.kind.in_(_MOVES_GIFTS),
        )
        .order_by(Transfer.id)
    )
    left = 0
    of_purchase: dict[str, int] = {}
    for kind, subject, amount, is_in in moves:
        if kind is TransferKind.GIFT:
            left += amount
        elif kind is TransferKind.REFUND:
            left += of_purchase.pop(subject, 0)
        elif not is_in:
            taken = min(left, amount)
            left -= taken
            if kind is TransferKind.SALE:
                of_purchase[subject] = taken
    return left


_MOVES_GIFTS = (
    *(TransferKind.GIFT, TransferKind.SALE, TransferKind.REFUND, TransferKind.CORRECTION),
)


def withdrawable(user_id: int, currency: str) -> int:
    """What of a wallet may leave it: all that may be spent but gifts. In minor units."""
    available = find_wallet(user_id, currency).available
    return max(0, available - gifts_left(user_id, currency))


def wallet_transfers(user_id: int, currency: str | None = None) -> Select[Any]:
    """What went into and out of a user's wallets, or the one of a currency, newest first: the
    transfer, its signed amount as `change`, and `balance_after`. Voided ones are left out."""
    own = select(Account.id).where(Account.user_id == user_id, Account.kind == AccountKind.WALLET)
    if currency is not None:
        own = own.where(Account.currency == currency)
    comes_in = Transfer.credit_account_id.in_(own)
    change = case((comes_in, Transfer.amount), else_=-Transfer.amount)
    after = case((comes_in, Transfer.credit_after), else_=Transfer.debit_after)
    return (
        select(Transfer, change.label("change"), after.label("balance_after"))
        .where(
            or_(comes_in, Transfer.debit_account_id.in_(own)),
            Transfer.state != TransferState.VOIDED,
        )
        .order_by(Transfer.id.desc())
    )


def wallets_of(user_id: int) -> Select[Any]:
    """A user's wallets as accounts."""
    return select(Account).where(Account.user_id == user_id, Account.kind == AccountKind.WALLET)


def transfers_of_wallets(user_id: int) -> Select[Any]:
    """What went into and out of a user's wallets."""
    ids = select(Account.id).where(Account.user_id == user_id, Account.kind == AccountKind.WALLET)
    own = list(session().scalars(ids))  # a few, so that the indexes of both sides can be used
    return select(Transfer).where(
        or_(Transfer.credit_account_id.in_(own), Transfer.debit_account_id.in_(own))
    )


def get_transfer(key: str) -> Transfer:
    """By its key, as it stands in the database now; TransferNotFound."""
    found = session().scalar(
        select(Transfer).where(Transfer.key == key).execution_options(populate_existing=True)
    )
    if found is None:
        raise TransferNotFound
    return found


_BY_KEYS = select(Transfer).where(Transfer.key.in_(bindparam("keys", expanding=True)))


def find_transfer(key: str) -> Transfer | None:
    """By its key."""
    return find_transfers([key]).get(key)


def find_transfers(keys: Collection[str]) -> dict[str, Transfer]:
    """Those that there are, by their keys; one query."""
    found = session().scalars(_BY_KEYS, {"keys": list(keys)})
    return {transfer.key: transfer for transfer in found}


@dataclass(frozen=True, slots=True)
class Finding:
    """Something in the book that does not add up."""

    what: str
    where: str


@dataclass(frozen=True, slots=True)
class Proof:
    """What a check of the whole book found."""

    accounts: int
    transfers: int
    findings: list[Finding]

    @property
    def holds(self) -> bool:
        return not self.findings


def prove() -> Proof:
    """Add all transfers up again and compare.

    Run it in one transaction that sees one state of the database (REPEATABLE READ on PostgreSQL):
    each statement alone would see another moment.
    """
    current = session()
    findings = [*_wrong_sums(), *_unbalanced(), *_below_zero()]
    return Proof(
        accounts=current.scalar(select(func.count()).select_from(Account)) or 0,
        transfers=current.scalar(select(func.count()).select_from(Transfer)) or 0,
        findings=findings[:MOST_FINDINGS],
    )


def _wrong_sums() -> list[Finding]:
    """Accounts whose kept sums are not those of their transfers."""

    def side(column: Any, *, debit: bool) -> Select[Any]:
        zero: ColumnElement[int] = case((Transfer.id.is_(None), 0), else_=0)
        posted = case((Transfer.state == TransferState.POSTED, Transfer.amount), else_=0)
        pending = case((Transfer.state == TransferState.PENDING, Transfer.amount), else_=0)
        amounts = (posted, zero, pending, zero) if debit else (zero, posted, zero, pending)
        names = ("dp", "cp", "dn", "cn")
        labelled = [amount.label(name) for amount, name in zip(amounts, names, strict=True)]
        return select(column.label("account_id"), *labelled)

    entries = union_all(
        side(Transfer.debit_account_id, debit=True), side(Transfer.credit_account_id, debit=False)
    ).subquery()
    sums = (
        select(
            entries.c.account_id,
            *(func.sum(entries.c[name]).label(name) for name in ("dp", "cp", "dn", "cn")),
        )
        .group_by(entries.c.account_id)
        .subquery()
    )
    kept = (
        ("dp", Account.debits_posted),
        ("cp", Account.credits_posted),
        ("dn", Account.debits_pending),
        ("cn", Account.credits_pending),
    )
    differ = or_(*(column != func.coalesce(sums.c[name], 0) for name, column in kept))
    rows = session().execute(
        select(Account.code, *(column for _, column in kept), *(sums.c[name] for name, _ in kept))
        .outerjoin(sums, sums.c.account_id == Account.id)
        .where(differ)
        .order_by(Account.id)
        .limit(MOST_FINDINGS)
    )
    return [
        Finding(
            f"its sums are {list(row[1:5])}, its transfers add up to {_numbers(row[5:])}", row[0]
        )
        for row in rows
    ]


def _numbers(values: Any) -> list[int]:
    return [int(value or 0) for value in values]


def _unbalanced() -> list[Finding]:
    """Currencies in which debits and credits differ."""
    debits = func.sum(Account.debits_posted)
    credits_ = func.sum(Account.credits_posted)
    rows = session().execute(
        select(Account.currency, debits, credits_)
        .group_by(Account.currency)
        .having(debits != credits_)
    )
    return [Finding(f"debits are {row[1]}, credits {row[2]}", row[0]) for row in rows]


def _below_zero() -> list[Finding]:
    """Wallets that hold less than is reserved of them."""
    held = Account.credits_posted - Account.debits_posted
    rows = session().execute(
        select(Account.code, held, Account.debits_pending).where(
            Account.kind == AccountKind.WALLET, held < Account.debits_pending
        )
    )
    return [Finding(f"holds {row[1]}, reserved {row[2]}", row[0]) for row in rows]
