"""Sending what was approved: by the provider, once however often it is asked, or by hand."""

from __future__ import annotations

import logging
import uuid
from dataclasses import dataclass
from datetime import timedelta

from manga_backend.kernel.approvals.service.asking import notify_admins
from manga_backend.kernel.backoffice.service import record_audit
from manga_backend.kernel.backoffice.types import Actor
from manga_backend.kernel.money.chains.domain import normalised
from manga_backend.kernel.money.chains.types import Network
from manga_backend.kernel.money.gateways.types import PROVIDER, Remittance, RemittanceStatus
from manga_backend.kernel.money.payouts import messages, queries
from manga_backend.kernel.money.payouts.errors import PayoutMovedOn
from manga_backend.kernel.money.payouts.models import Payout
from manga_backend.kernel.money.payouts.service.steps import KIND, move
from manga_backend.kernel.money.payouts.settings import PayoutSettings
from manga_backend.kernel.money.payouts.types import PayoutStatus, Sender
from manga_backend.kit import clock
from manga_backend.kit.db import session
from manga_backend.kit.i18n import gettext
from manga_backend.kit.jobs import wake
from manga_backend.kit.money import decimal_string, read_amount
from manga_backend.kit.problems import InvalidInput
from manga_backend.kit.settings import settings

log = logging.getLogger(__name__)

SEND = "payouts.send"
BATCH = 20
LEASE = timedelta(seconds=120)
"""Longer than two calls to the provider take."""
PATIENCE = (
    *(timedelta(seconds=seconds) for seconds in (30, 60, 120, 300)),
    timedelta(minutes=10),
)
SETTLES_WITHIN = timedelta(minutes=10)
"""A sending that the provider does not know so long after it was asked never reached it."""


def process(payout: Payout, actor: Actor) -> None:
    """Approved: it is sent next. The caller has it locked."""
    payout.decided_by_label = actor.label
    if settings(PayoutSettings).sender is Sender.GATEWAY:
        payout.ask_at = clock.now()
        wake(SEND)
    move(payout, PayoutStatus.PROCESSING, actor.key)


@dataclass(frozen=True, slots=True)
class Errand:
    """What the provider is asked about one payout. `is_given_up`: it must not be told to send it
    again, only asked whether it did."""

    payout_id: uuid.UUID
    network: Network
    address: str
    order: Remittance
    is_given_up: bool


def claim_due() -> list[Errand]:
    """Take what is due in hand: nobody else asks about it for LEASE."""
    now = clock.now()
    due = queries.lock_due(BATCH)
    for payout in due:
        payout.ask_at = now + LEASE
        payout.attempts = min(payout.attempts + 1, 30_000)
        if not payout.is_given_up:
            payout.tried_at = now
    session().flush()
    return [_errand(payout) for payout in due]


def _errand(payout: Payout) -> Errand:
    amount = decimal_string(payout.amount, payout.currency)
    order = Remittance(payout.id.hex, RemittanceStatus.UNDER_WAY, amount, payout.currency)
    return Errand(payout.id, payout.network, payout.address, order, payout.is_given_up)


def record_answer(payout_id: uuid.UUID, told: Remittance | None, problem: str | None) -> None:
    """What the provider said of one that was claimed: `told` is None when it does not know it, or
    said no, or did not answer; `problem` has its words then. Locks the payout."""
    payout = queries.lock_payout(payout_id)
    if payout is None or payout.status is not PayoutStatus.PROCESSING:
        return
    payout.ask_at = clock.now() + PATIENCE[min(payout.attempts, len(PATIENCE)) - 1]
    if told is not None:
        payout.problem = None
        _settle(payout, told)
        return
    if payout.is_given_up and problem is None:
        _give_back_if_never_sent(payout)
    elif problem is not None and problem != payout.problem:
        payout.problem = problem
        notify_admins(messages.STUCK, KIND, payout=payout)
    session().flush()


def _give_back_if_never_sent(payout: Payout) -> None:
    if payout.tried_at is None or clock.now() - payout.tried_at >= SETTLES_WITHIN:
        move(payout, PayoutStatus.FAILED, "system", payout.reason)


def settle(told: Remittance) -> str:
    """Do what the provider's word means for a payout; what was done, in words for admins.

    Only an amount and a currency that are ours count. Locks the payout: of any number of calls at
    once one posts it or gives it back.
    """
    payout = _lock_order(told.order_id)
    return "no such payout" if payout is None else _settle(payout, told)


def _settle(payout: Payout, told: Remittance) -> str:
    if told.currency != payout.currency or (
        read_amount(told.amount, payout.currency) != payout.amount
    ):
        log.error("payout %s: the provider's amount or currency is not ours", payout.id)
        return "the amount or the currency is not the payout's"
    if payout.status is not PayoutStatus.PROCESSING:
        if told.status is RemittanceStatus.PAID and payout.status is not PayoutStatus.PAID:
            log.error("payout %s was sent after it was given back: look at it", payout.id)
            return f"sent, but the payout is {payout.status.value}: look at it"
        return f"nothing to do: {payout.status.value}"
    payout.reference = told.reference or payout.reference
    payout.tx_hash = told.tx_hash or payout.tx_hash
    if told.status is RemittanceStatus.PAID:
        move(payout, PayoutStatus.PAID, PROVIDER.key)
        return "paid"
    if told.status is RemittanceStatus.FAILED:
        payout.problem = told.reason
        move(payout, PayoutStatus.FAILED, PROVIDER.key)
        return "failed: the money is back in the wallet"
    session().flush()
    return "still under way"


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


def mark_paid(payout_id: uuid.UUID, typed_hash: str, actor: Actor) -> None:
    """By an admin who sent it by hand: this is its transaction.

    InvalidInput for what is no hash of its network, PayoutMovedOn when it is not to be sent by
    hand. Audited. Locks the payout.
    """
    payout = _lock_processing(payout_id)
    if not payout.is_by_hand:
        raise PayoutMovedOn
    stored = normalised(payout.network, typed_hash)
    if stored is None:
        words = gettext(
            "This is not a transaction hash of %(network)s.", network=payout.network.value
        )
        raise InvalidInput({"tx_hash": [words]})
    payout.tx_hash = stored
    move(payout, PayoutStatus.PAID, actor.key)
    record_audit(actor, "payout.marked_paid", KIND, payout.id, after={"tx_hash": stored})


def _lock_processing(payout_id: uuid.UUID) -> Payout:
    payout = queries.lock_payout(payout_id)
    if payout is None or payout.status is not PayoutStatus.PROCESSING:
        raise PayoutMovedOn
    return payout
