"""Moving money: all of it or none of it, once for each key, and never below zero."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence

from sqlalchemy import bindparam, select, update

from manga_backend.kernel.backoffice.service import record_audit
from manga_backend.kernel.backoffice.types import Actor
from manga_backend.kernel.identity.queries import get_contact, get_user
from manga_backend.kernel.identity.service.sessions import lock_user
from manga_backend.kernel.money.ledger import queries
from manga_backend.kernel.money.ledger.errors import (
    NotEnoughMoney,
    TransferKeyReused,
    TransferNotPending,
)
from manga_backend.kernel.money.ledger.messages import WALLET_CORRECTED
from manga_backend.kernel.money.ledger.models import TRANSFER_STEPS, Account, Transfer
from manga_backend.kernel.money.ledger.types import (
    AccountKind,
    Move,
    TransferKind,
    TransferState,
    WalletStyle,
)
from manga_backend.kernel.notifications.service.outbox import notify_user
from manga_backend.kernel.telegram.types import Message
from manga_backend.kit import clock
from manga_backend.kit.db import insert_or, session
from manga_backend.kit.i18n import render
from manga_backend.kit.money import EXPONENTS
from manga_backend.kit.problems import DomainError
from manga_backend.kit.registry import Registry

styles: Registry[WalletStyle] = Registry("ledger.styles")
"""By product; whoever came through another one is answered in USDT, with decimals."""

PARTS = 8
"""A busy account of ours is that many rows, so that payments at once seldom wait for one."""


def wallet_account(user_id: int, currency: str) -> int:
    """The id of a user's wallet, made when it is first needed. May run at once."""
    return _account(f"wallet:{user_id}:{currency}", AccountKind.WALLET, currency, user_id)


def own_account(kind: AccountKind, name: str, currency: str, key: str) -> int:
    """The id of one part of an account of ours (`received:tron`); `key` decides which part, so that
    the same transfer always finds the same one."""
    part = zlib.crc32(key.encode()) % PARTS
    stem = f"{kind.value}:{name}:{currency}" if name else f"{kind.value}:{currency}"
    return _account(f"{stem}#{part}", kind, currency, None)


_ACCOUNT = select(Account.id).where(Account.code == bindparam("code"))


def _account(code: str, kind: AccountKind, currency: str, user_id: int | None) -> int:
    if currency not in EXPONENTS:
        raise ValueError(f"unknown currency {currency!r}")
    current = session()
    found = current.scalar(_ACCOUNT, {"code": code})
    if found is None:
        new = {
            "code": code,
            "kind": kind,
            "currency": currency,
            "user_id": user_id,
            "debits_posted": 0,
            "credits_posted": 0,
            "debits_pending": 0,
            "credits_pending": 0,
            "created_at": clock.now(),
        }
        current.execute(insert_or(Account).values(new).on_conflict_do_nothing())
        found = current.scalar(_ACCOUNT, {"code": code})
    assert found is not None
    return found


def transfer(moves: Sequence[Move]) -> list[Transfer]:
    """Post transfers together, in the running transaction.

    Locks all their accounts in the order of ids, so that transfers at once wait and never lock each
    other out. A key that was booked before with the same numbers changes nothing and gives what was
    booked; with other numbers it is TransferKeyReused. NotEnoughMoney when a wallet would go below
    zero: then none of them is made.
    """
    return _book(moves, TransferState.POSTED)


def reserve(moves: Sequence[Move]) -> list[Transfer]:
    """Keep the amounts for transfers that are posted or voided later. As `transfer` in all else."""
    return _book(moves, TransferState.PENDING)


def post(key: str) -> Transfer:
    """Make a reserved transfer final. Once: the second call is refused with TransferNotPending."""
    return _settle(key, TransferState.POSTED)


def void(key: str) -> Transfer:
    """Let a reserved transfer go. Once: the second call is refused with TransferNotPending."""
    return _settle(key, TransferState.VOIDED)


def _book(moves: Sequence[Move], state: TransferState) -> list[Transfer]:
    accounts = _lock(
        account for m in moves for account in (m.debit_account_id, m.credit_account_id)
    )
    known = queries.find_transfers([move.key for move in moves])
    new = []
    try:
        for move in moves:
            before = known.get(move.key)
            if before is not None:
                _check_same(before, move)
            else:
                known[move.key] = _moved(move, state, accounts)
                new.append(known[move.key])
    except DomainError:
        for account in accounts.values():
            session().expire(account)  # nothing is flushed of what was added up, whoever goes on
        raise
    session().add_all(new)
    session().flush()
    return [known[move.key] for move in moves]


def _moved(move: Move, state: TransferState, accounts: dict[int, Account]) -> Transfer:
    debited, credited = accounts[move.debit_account_id], accounts[move.credit_account_id]
    if debited.kind is AccountKind.WALLET and _available(debited) < move.amount:
        raise NotEnoughMoney
    if state is TransferState.POSTED:
        debited.debits_posted += move.amount
        credited.credits_posted += move.amount
    else:
        debited.debits_pending += move.amount
        credited.credits_pending += move.amount
    row = _new(move, state)
    row.debit_after, row.credit_after = _left(debited), _left(credited)
    return row


def _left(account: Account) -> int | None:
    return _available(account) if account.kind is AccountKind.WALLET else None


def _new(move: Move, state: TransferState) -> Transfer:
    now = clock.now()
    return Transfer(
        key=move.key,
        kind=move.kind,
        state=state,
        debit_account_id=move.debit_account_id,
        credit_account_id=move.credit_account_id,
        amount=move.amount,
        currency=move.currency,
        subject=move.subject,
        note=move.note,
        actor=move.actor,
        created_at=now,
        settled_at=None if state is TransferState.PENDING else now,
    )


def _check_same(known: Transfer, move: Move) -> None:
    """The same key for another amount or other people is a mistake, and never silently kept."""
    same = (known.kind, known.amount, known.currency) == (move.kind, move.amount, move.currency)
    accounts = (known.debit_account_id, known.credit_account_id)
    if not same or accounts != (move.debit_account_id, move.credit_account_id):
        raise TransferKeyReused


def _available(account: Account) -> int:
    return account.credits_posted - account.debits_posted - account.debits_pending


_LOCKED = (
    select(Account)
    .where(Account.id.in_(bindparam("wanted", expanding=True)))
    .order_by(Account.id)
    .with_for_update()
    .execution_options(populate_existing=True)
)


def _lock(account_ids: Iterable[int]) -> dict[int, Account]:
    """Their rows as they stand now, locked in the order of their ids."""
    wanted = sorted(set(account_ids))
    return {account.id: account for account in session().scalars(_LOCKED, {"wanted": wanted})}


def _settle(key: str, to: TransferState) -> Transfer:
    found = queries.get_transfer(key)
    accounts = _lock((found.debit_account_id, found.credit_account_id))
    sources = [state for state, targets in TRANSFER_STEPS.items() if to in targets]
    moved = session().execute(
        update(Transfer)
        .where(Transfer.id == found.id, Transfer.state.in_(sources))
        .values(state=to, settled_at=clock.now())
        .execution_options(synchronize_session=False)
    )
    if not moved.rowcount:  # type: ignore[attr-defined]
        raise TransferNotPending
    debited, credited = accounts[found.debit_account_id], accounts[found.credit_account_id]
    debited.debits_pending -= found.amount
    credited.credits_pending -= found.amount
    if to is TransferState.POSTED:
        debited.debits_posted += found.amount
        credited.credits_posted += found.amount
    session().flush()
    session().refresh(found)
    return found


def correct_wallet(
    user_id: int, amount: int, currency: str, *, key: str, reason: str, actor: Actor
) -> None:
    """By an admin in the panel: `correct`, audited, and the user is told why.

    Once for each key: a second call changes nothing. Locks the user. NotEnoughMoney.
    """
    lock_user(user_id)
    if queries.find_transfer(key) is not None:
        return
    made = correct(user_id, amount, currency, key=key, note=reason, actor=actor)
    contact = get_contact(user_id)
    balance = queries.find_wallet(user_id, currency).balance
    text = render(
        WALLET_CORRECTED,
        contact.language,
        amount=amount,
        currency=currency,
        balance=balance,
        reason=reason,
    )
    notify_user(contact, Message(text), kind="wallet_corrected", subject=made.subject)
    record_audit(
        actor,
        "wallet.corrected",
        "user",
        get_user(user_id).public_id,
        after={"amount": amount, "currency": currency, "balance": balance, "reason": reason},
    )


def correct(
    user_id: int, amount: int, currency: str, *, key: str, note: str, actor: Actor
) -> Transfer:
    """By an admin: put so much into a wallet, or with a negative amount take it out.

    Once for each key. NotEnoughMoney. `correct_wallet` also audits it and tells the user.
    """
    wallet = wallet_account(user_id, currency)
    ours = own_account(AccountKind.CORRECTION, "", currency, key)
    debit, credit = (ours, wallet) if amount > 0 else (wallet, ours)
    move = Move(
        kind=TransferKind.CORRECTION,
        debit_account_id=debit,
        credit_account_id=credit,
        amount=abs(amount),
        currency=currency,
        key=key,
        subject=f"user:{user_id}",
        note=note,
        actor=actor.key,
    )
    return transfer([move])[0]
