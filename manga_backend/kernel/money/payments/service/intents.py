"""Intents: promises to pay an amount that is unique, so that the transfer names the payer."""

from __future__ import annotations

import secrets
import uuid
from datetime import timedelta

from sqlalchemy import select, update
from sqlalchemy.exc import IntegrityError

from manga_backend.kernel.identity.service.sessions import lock_user
from manga_backend.kernel.money.chains.settings import ChainSettings
from manga_backend.kernel.money.chains.types import Chain, Network
from manga_backend.kernel.money.payments import queries
from manga_backend.kernel.money.payments.errors import NetworkNotWatched, TooManyIntents
from manga_backend.kernel.money.payments.models import PaymentIntent
from manga_backend.kernel.money.payments.service.steps import (
    move_invoice_if_open,
    open_invoice,
)
from manga_backend.kernel.money.payments.service.submit import offer_of
from manga_backend.kernel.money.payments.types import IntentStatus, InvoiceStatus, Offer
from manga_backend.kit import clock
from manga_backend.kit.db import new_id, session, violates
from manga_backend.kit.settings import settings

LIVES = timedelta(minutes=60)
REUSED_WHILE_LEFT = timedelta(minutes=20)
"""The same question again gives the same intent, while there is time enough to pay it."""
MOST_OPEN = 3
STEPS_ABOVE_PRICE = 9_999
"""In minor units: at most 0.009999 USDT more than the price."""
TRIES = 20


def open_intent(
    user_id: int, network: Network | None = None, plan: str | None = None
) -> PaymentIntent:
    """Promise to pay for a plan on a network that is watched; its invoice is loaded.

    Asked again for the same, it is the same intent. InvalidInput (unknown plan), NetworkNotWatched,
    TooManyIntents. Locks the user; the amount is unique among open intents of the network by an
    index, and none that was asked for within the last day is used again.
    """
    offer = offer_of(plan)
    chain = _chain(network)
    lock_user(user_id)
    open_ones = queries.list_open_intents(user_id)
    for intent in open_ones:
        same = (intent.network, intent.invoice.item_code) == (chain.network, offer.code)
        price = (intent.invoice.amount, intent.invoice.currency)
        if same and price == (offer.price.amount, offer.price.currency):
            if intent.expires_at - clock.now() >= REUSED_WHILE_LEFT:
                return intent
            _close(intent, IntentStatus.CANCELLED, f"user:{user_id}")
    if len([one for one in open_ones if one.status is IntentStatus.OPEN]) >= MOST_OPEN:
        raise TooManyIntents
    return _new(user_id, offer, chain)


def _chain(network: Network | None) -> Chain:
    known = settings(ChainSettings)
    chain = known.chains.get(network or known.default_network)
    if chain is None or not chain.is_priced:
        raise NetworkNotWatched(network=(network or known.default_network).value)
    return chain


def _new(user_id: int, offer: Offer, chain: Chain) -> PaymentIntent:
    now = clock.now()
    invoice = open_invoice(user_id, offer, f"user:{user_id}", expires_at=now + LIVES)
    for _ in range(TRIES):
        amount = offer.price.amount + 1 + secrets.randbelow(STEPS_ABOVE_PRICE)
        if queries.is_amount_taken(chain.network, amount, now):
            continue
        intent = PaymentIntent(
            id=new_id(),
            user_id=user_id,
            invoice_id=invoice.id,
            network=chain.network,
            address=chain.address,
            amount=amount,
            currency=offer.price.currency,
            status=IntentStatus.OPEN,
            created_at=now,
            expires_at=now + LIVES,
        )
        try:
            with session().begin_nested():
                session().add(intent)
                session().flush()
        except IntegrityError as error:
            if not violates(error, PaymentIntent.network, PaymentIntent.amount):
                raise
        else:
            intent.invoice = invoice
            return intent
    raise TooManyIntents


def settle_intent(intent_id: uuid.UUID) -> bool:
    """Its money has come, in time or late. Once: False for whoever is second."""
    moved = session().execute(
        update(PaymentIntent)
        .where(
            PaymentIntent.id == intent_id,
            PaymentIntent.status.in_((IntentStatus.OPEN, IntentStatus.EXPIRED)),
        )
        .values(status=IntentStatus.SETTLED, settled_at=clock.now())
    )
    return bool(moved.rowcount)  # type: ignore[attr-defined]


def expire_intents(limit: int) -> int:
    """Close intents whose time is over; their money is still found when it comes late. Returns how
    many. May run twice and at once."""
    due = list(
        session().scalars(
            select(PaymentIntent)
            .where(
                PaymentIntent.status == IntentStatus.OPEN,
                PaymentIntent.expires_at <= clock.now(),
            )
            .order_by(PaymentIntent.expires_at)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
    )
    for intent in due:
        _close(intent, IntentStatus.EXPIRED, "system")
    return len(due)


def _close(intent: PaymentIntent, to: IntentStatus, actor: str) -> None:
    intent.status = to
    session().flush()
    over = InvoiceStatus.EXPIRED if to is IntentStatus.EXPIRED else InvoiceStatus.CANCELLED
    move_invoice_if_open(intent.invoice_id, over, actor)
