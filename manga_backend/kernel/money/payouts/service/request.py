"""Asking for a withdrawal, and taking it back."""

from __future__ import annotations

import uuid

from manga_backend.kernel.approvals.errors import AlreadyApproved, AlreadyRejected
from manga_backend.kernel.approvals.queries import find_pending_about
from manga_backend.kernel.approvals.service.asking import file_approval
from manga_backend.kernel.approvals.service.deciding import decide
from manga_backend.kernel.approvals.settings import ApprovalSettings
from manga_backend.kernel.approvals.types import Decision
from manga_backend.kernel.backoffice.types import Actor, Channel
from manga_backend.kernel.identity.queries import get_user
from manga_backend.kernel.identity.service.sessions import lock_user
from manga_backend.kernel.money.chains.service import check_address
from manga_backend.kernel.money.chains.types import Network
from manga_backend.kernel.money.ledger.queries import find_wallet, gifts_left
from manga_backend.kernel.money.ledger.service import own_account, reserve, wallet_account
from manga_backend.kernel.money.ledger.types import AccountKind, Move, TransferKind
from manga_backend.kernel.money.payouts import queries
from manga_backend.kernel.money.payouts.errors import (
    AmountOutOfRange,
    NotWithdrawable,
    PayoutMovedOn,
    TooManyPayouts,
    WithdrawalsOff,
)
from manga_backend.kernel.money.payouts.models import Payout
from manga_backend.kernel.money.payouts.service.sending import process
from manga_backend.kernel.money.payouts.service.steps import KIND, note_step
from manga_backend.kernel.money.payouts.settings import PayoutSettings
from manga_backend.kernel.money.payouts.types import NETWORKS, PayoutStatus, Sender
from manga_backend.kit import clock
from manga_backend.kit.db import new_id, session
from manga_backend.kit.i18n import gettext
from manga_backend.kit.money import Money
from manga_backend.kit.problems import InvalidInput
from manga_backend.kit.settings import settings

MAX_UNDER_WAY = 3


def request_payout(user_id: int, money: Money, network: Network, address: str) -> Payout:
    """Ask for money from the wallet, at an address of the user's. It is reserved at once, and
    waits for an admin when it is above WITHDRAW_APPROVAL_ABOVE.

    Refusals: WithdrawalsOff, InvalidInput (address, network), AmountOutOfRange, TooManyPayouts,
    NotEnoughMoney, NotWithdrawable. Locks the user, then the wallet. Run twice it asks twice:
    callers send an Idempotency-Key.
    """
    config = settings(PayoutSettings)
    if config.sender is Sender.NONE:
        raise WithdrawalsOff
    _check_address(network, address)
    if not config.least <= money.amount <= config.most:
        least, most = (Money(edge, money.currency) for edge in (config.least, config.most))
        raise AmountOutOfRange(least=str(least), most=most.with_currency)
    lock_user(user_id)
    if queries.count_of_user(user_id, *queries.UNDER_WAY) >= MAX_UNDER_WAY:
        raise TooManyPayouts
    payout = Payout(
        id=new_id(),
        user_id=user_id,
        amount=money.amount,
        currency=money.currency,
        network=network,
        address=address,
        status=PayoutStatus.PENDING,
        requested_at=clock.now(),
    )
    _reserve(payout)
    session().add(payout)
    session().flush()
    note_step(payout, None, PayoutStatus.PENDING, f"user:{user_id}")
    needs_two = settings(ApprovalSettings).needs_two(money.amount)
    if money.amount > config.approval_above or needs_two:
        file_approval(KIND, str(payout.id))
    else:
        process(payout, Actor(key="system", label="—", channel=Channel.SYSTEM))
    return payout


def _check_address(network: Network, address: str) -> None:
    if network not in NETWORKS:
        raise InvalidInput({"network": [gettext("USDT is not sent on this network.")]})
    check_address(network, address)


def _reserve(payout: Payout) -> None:
    """The whole amount stays in the wallet, where nobody can spend it. What may leave is looked at
    behind the wallet's lock: a gift may come in at the same moment."""
    currency = payout.currency
    reserve(
        [
            Move(
                kind=TransferKind.PAYOUT,
                debit_account_id=wallet_account(payout.user_id, currency),
                credit_account_id=own_account(AccountKind.RECEIVED, KIND, currency, payout.key),
                amount=payout.amount,
                currency=currency,
                key=payout.key,
                subject=payout.key,
            )
        ]
    )
    free = find_wallet(payout.user_id, currency).available - gifts_left(payout.user_id, currency)
    if free < 0:
        may_leave = Money(max(0, free + payout.amount), currency)
        raise NotWithdrawable(amount=may_leave.with_currency)


def cancel_payout(user_id: int, payout_id: uuid.UUID) -> Payout:
    """By its user, as long as nobody has decided: the admins' messages say so, and the money is
    free again. PayoutNotFound, PayoutMovedOn."""
    queries.get_own_payout(user_id, payout_id)
    question = find_pending_about(KIND, str(payout_id))
    if question is None:
        raise PayoutMovedOn
    who = Actor(key=f"user:{user_id}", label=get_user(user_id).label, channel=Channel.API)
    try:
        decide(question.id, Decision.REJECT, who)
    except (AlreadyApproved, AlreadyRejected):
        raise PayoutMovedOn from None
    return queries.get_payout(payout_id)
