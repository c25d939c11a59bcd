"""Sending what was approved: by the provider, once however often it is told, or by hand."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta

from manga_backend.kernel.approvals.service.asking import notify_admins
from manga_backend.kernel.backoffice.service import record_audit
from manga_backend.kernel.backoffice.types import Actor
from manga_backend.kernel.money.chains.domain import normalised
from manga_backend.kernel.money.chains.service import read_hash
from manga_backend.kernel.money.chains.types import Network
from manga_backend.kernel.money.gateways.types import PROVIDER, Remittance, RemittanceStatus
from manga_backend.kernel.money.payouts import messages, queries
from manga_backend.kernel.money.payouts.errors import PayoutInFlight, PayoutMovedOn
from manga_backend.kernel.money.payouts.models import Payout
from manga_backend.kernel.money.payouts.service.steps import KIND, move
from manga_backend.kernel.money.payouts.settings import PayoutSettings
from manga_backend.kernel.money.payouts.types import PayoutStatus, Sender
from manga_backend.kit import clock
from manga_backend.kit.db import session
from manga_backend.kit.i18n import gettext
from manga_backend.kit.jobs import wake
from manga_backend.kit.money import decimal_string, read_amount
from manga_backend.kit.settings import settings

SEND = "payouts.send"
LEASE = timedelta(seconds=60)
"""Longer than one call to the provider takes, with its repetition."""
PATIENCE = tuple(timedelta(seconds=seconds) for seconds in (30, 60, 120, 300, 600))
SETTLES_WITHIN = timedelta(minutes=10)
"""A sending that the provider does not know so long after it was told never reached it."""


def process(payout: Payout, actor: Actor) -> None:
    """Approved: it is sent next. The caller has it locked."""
    payout.decided_by_label = actor.label
    if settings(PayoutSettings).sender is Sender.GATEWAY:
        payout.ask_at = clock.now()
        wake(SEND)
    move(payout, PayoutStatus.PROCESSING, actor.key)
    if payout.is_by_hand:
        notify_admins(messages.BY_HAND, KIND, subject=payout.key, payout=payout)


@dataclass(frozen=True, slots=True)
class Errand:
    """What the provider is asked about one payout. `is_given_up`: it must not be told to send it
    again, only asked whether it did. After `leased_until` another one may ask."""

    payout_id: uuid.UUID
    network: Network
    address: str
    order: Remittance
    is_given_up: bool
    leased_until: datetime


def claim_due(account: str) -> Errand | None:
    """Take one payout that is due in hand, right before `account` at the provider is asked about
    it: nobody else asks for LEASE. None when none is due.

    One that another account was told is not told to this one: the admins are told instead.
    """
    while (payout := queries.lock_due()) is not None:
        now = clock.now()
        payout.ask_at = now + LEASE
        payout.attempts = min(payout.attempts + 1, 30_000)
        if payout.told_to not in (None, account):
            words = gettext("It was given to %(account)s before.", account=payout.told_to)
            _trouble(payout, words)
            payout.ask_at = now + PATIENCE[-1]
            session().flush()
            continue
        if not payout.is_given_up:
            payout.tried_at = now
            payout.told_to = account
        session().flush()
        return _errand(payout, payout.ask_at)
    return None


def _errand(payout: Payout, leased_until: datetime) -> Errand:
    amount = decimal_string(payout.amount, payout.currency)
    order = Remittance(payout.id.hex, RemittanceStatus.UNDER_WAY, amount, payout.currency)
    return Errand(
        *(payout.id, payout.network, payout.address, order, payout.is_given_up, leased_until)
    )


def note_nobody_sends() -> None:
    """What is due can't be sent, for no provider is set up any more: the admins are told."""
    while (payout := queries.lock_due()) is not None:
        payout.ask_at = clock.now() + PATIENCE[-1]
        _trouble(payout, gettext("No payout key is set."))
        session().flush()


def record_answer(payout_id: uuid.UUID, told: Remittance | None, problem: str | None) -> None:
    """What the provider said of one that was claimed: `told` is None when it does not know it, or
    said no, or did not answer; `problem` has its words then. Locks the payout."""
    payout = queries.lock_payout(payout_id)
    if payout is None:
        return
    if payout.status is PayoutStatus.PROCESSING:
        payout.ask_at = _next_time(payout)
    if told is not None:
        _settle(payout, told)
    elif payout.status is not PayoutStatus.PROCESSING:
        return
    elif problem is not None:
        _trouble(payout, problem)
    elif payout.is_given_up and _never_arrived(payout):
        move(payout, PayoutStatus.FAILED, "system", payout.reason)
    session().flush()


def _next_time(payout: Payout) -> datetime:
    next_time = clock.now() + PATIENCE[min(payout.attempts, len(PATIENCE)) - 1]
    if payout.is_given_up and payout.tried_at is not None and not _never_arrived(payout):
        return min(next_time, payout.tried_at + SETTLES_WITHIN)
    return next_time


def _never_arrived(payout: Payout) -> bool:
    """What was told so long ago, and is not known to the provider, will not become known."""
    return payout.tried_at is None or clock.now() - payout.tried_at >= SETTLES_WITHIN


def _trouble(payout: Payout, words: str) -> None:
    """Kept with the payout, and told to the admins when it is news."""
    if words != payout.problem:
        payout.problem = words
        notify_admins(messages.STUCK, KIND, subject=payout.key, payout=payout)


def settle(told: Remittance) -> str:
    """Do what the provider's word means for a payout; what was done, in words for admins.

    Only an amount and a currency that are ours count. Locks the payout: of any number of calls at
    once one posts it or gives it back. What can't be right is told to the admins.
    """
    payout = _lock_order(told.order_id)
    return "no such payout" if payout is None else _settle(payout, told)


def _settle(payout: Payout, told: Remittance) -> str:
    amount = read_amount(told.amount, payout.currency)
    if told.currency != payout.currency or amount != payout.amount:
        words = gettext("The provider speaks of %(amount)s %(currency)s.", **_spoken(told))
        _trouble(payout, words)
        return "the amount or the currency is not the payout's"
    if payout.status is not PayoutStatus.PROCESSING:
        if told.status is RemittanceStatus.PAID and payout.status is not PayoutStatus.PAID:
            _trouble(payout, gettext("The provider has sent it, though it was given back."))
            return f"sent, but the payout is {payout.status.value}: look at it"
        return f"nothing to do: {payout.status.value}"
    payout.problem = None
    payout.reference = told.reference or payout.reference
    payout.tx_hash = _hash_of(payout, told) or payout.tx_hash
    if told.status is RemittanceStatus.PAID:
        move(payout, PayoutStatus.PAID, PROVIDER.key)
        return "paid"
    if told.status is RemittanceStatus.FAILED:
        payout.problem = told.reason
        move(payout, PayoutStatus.FAILED, PROVIDER.key)
        return "failed: the money is back in the wallet"
    session().flush()
    return "still under way"


def _spoken(told: Remittance) -> dict[str, str]:
    return {"amount": told.amount[:40], "currency": told.currency[:20]}


def _hash_of(payout: Payout, told: Remittance) -> str | None:
    return normalised(payout.network, told.tx_hash) if told.tx_hash else None


def _lock_order(order_id: str) -> Payout | None:
    try:
        return queries.lock_payout(uuid.UUID(hex=order_id))
    except ValueError:
        return None


def give_up(payout_id: uuid.UUID, actor: Actor, reason: str) -> None:
    """By an admin: the money shall go back to the wallet. One that is sent by hand goes back at
    once; of the provider's only what it does not know, when it is asked next.

    PayoutMovedOn when it is not being sent. Audited. Locks the payout.
    """
    payout = _lock_processing(payout_id)
    if payout.is_by_hand:
        move(payout, PayoutStatus.FAILED, actor.key, reason)
    else:
        payout.is_given_up = True
        payout.reason = reason
        session().flush()
    record_audit(actor, "payout.given_up", KIND, payout.id, after={"reason": reason})


def vouch_not_sent(payout_id: uuid.UUID, actor: Actor, reason: str) -> None:
    """By someone who looked at the provider, where we can't: it was not sent, and the money goes
    back at once.

    Only when something is wrong with it; PayoutInFlight while it may still be on its way.
    PayoutMovedOn when it is not being sent. Audited. Locks the payout.
    """
    payout = _lock_stuck(payout_id)
    move(payout, PayoutStatus.FAILED, actor.key, reason)
    record_audit(actor, "payout.vouched_not_sent", KIND, payout.id, after={"reason": reason})


def mark_paid(payout_id: uuid.UUID, typed_hash: str, actor: Actor) -> None:
    """This is its transaction: by an admin who sent it by hand, or who saw at a provider that we
    can't ask that it was sent.

    InvalidInput for what is no hash of its network, PayoutMovedOn when it is not being sent,
    PayoutInFlight while it is the provider's and nothing is wrong. Audited. Locks the payout.
    """
    payout = _lock_processing(payout_id)
    if not payout.is_by_hand:
        payout = _lock_stuck(payout_id)
    payout.tx_hash = stored = read_hash(payout.network, typed_hash)
    move(payout, PayoutStatus.PAID, actor.key)
    record_audit(actor, "payout.marked_paid", KIND, payout.id, after={"tx_hash": stored})


def _lock_processing(payout_id: uuid.UUID) -> Payout:
    payout = queries.lock_payout(payout_id)
    if payout is None or payout.status is not PayoutStatus.PROCESSING:
        raise PayoutMovedOn
    return payout


def _lock_stuck(payout_id: uuid.UUID) -> Payout:
    payout = _lock_processing(payout_id)
    if payout.problem is None or not _never_arrived(payout):
        raise PayoutInFlight
    return payout
