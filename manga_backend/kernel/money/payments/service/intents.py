"""Intents: promises to pay an amount that is unique, so that the transfer names the payer."""

from __future__ import annotations

import secrets
import uuid
from dataclasses import replace
from datetime import timedelta

from sqlalchemy import select, update
from sqlalchemy.exc import IntegrityError

from manga_backend.kernel.identity.service.sessions import lock_user
from manga_backend.kernel.money.chains import queries as chains
from manga_backend.kernel.money.chains.settings import ChainSettings
from manga_backend.kernel.money.chains.types import Chain, Network
from manga_backend.kernel.money.coupons import service as coupons
from manga_backend.kernel.money.coupons.errors import CouponIsNoDiscount
from manga_backend.kernel.money.coupons.types import AnyGift, PercentGift
from manga_backend.kernel.money.payments import queries
from manga_backend.kernel.money.payments.errors import NetworkNotWatched, TooManyIntents
from manga_backend.kernel.money.payments.models import PaymentIntent
from manga_backend.kernel.money.payments.service.booking import TOP_UP
from manga_backend.kernel.money.payments.service.steps import (
    move_invoice_if_open,
    open_invoice,
)
from manga_backend.kernel.money.payments.service.submit import offer_of
from manga_backend.kernel.money.payments.types import IntentStatus, InvoiceStatus, Offer
from manga_backend.kit import clock
from manga_backend.kit.db import new_id, session, violates
from manga_backend.kit.i18n import gettext
from manga_backend.kit.money import Money
from manga_backend.kit.problems import InvalidInput
from manga_backend.kit.settings import settings

LIVES = timedelta(minutes=60)
REUSED_WHILE_LEFT = timedelta(minutes=20)
"""The same question again gives the same intent, while there is time enough to pay it."""
MOST_OPEN = 3
LEAST_TOP_UP, MOST_TOP_UP = 1_000_000, 100_000_000_000
"""In minor units of USDT."""
STEPS_ABOVE_PRICE = 9_999
"""In minor units: at most 0.009999 USDT more than the price."""
TRIES = 20


def open_intent(
    user_id: int,
    network: Network | None = None,
    plan: str | None = None,
    coupon_code: str | None = None,
) -> PaymentIntent:
    """Promise to pay for a plan on a network that is watched; its invoice is loaded.

    Asked again for the same, it is the same intent. With a coupon of a percentage the price is
    lower; the coupon's use comes back when the intent ends unpaid. InvalidInput (unknown plan),
    NetworkNotWatched, TooManyIntents, CouponIsNoDiscount and the refusals of coupons. Locks the
    user; the amount is unique among open intents of the network by an index, and none that was
    asked for within the last day is used again.
    """
    return _open(user_id, network, offer_of(plan), coupon_code)


def open_top_up(user_id: int, money: Money, network: Network | None = None) -> PaymentIntent:
    """The same for money in the wallet. InvalidInput outside of LEAST_TOP_UP and MOST_TOP_UP."""
    if not LEAST_TOP_UP <= money.amount <= MOST_TOP_UP:
        words = gettext(
            "Must be from %(least)s to %(most)s.",
            least=str(Money(LEAST_TOP_UP, money.currency)),
            most=str(Money(MOST_TOP_UP, money.currency)),
        )
        raise InvalidInput({"amount": [words]})
    offer = Offer(
        product="wallet",
        code="top_up",
        title="Top-up",
        price=money,
        fulfilment=TOP_UP,
        item={"amount": money.amount, "currency": money.currency},
    )
    return _open(user_id, network, offer, None)


def open_intent_for(user_id: int, offer: Offer, network: Network | None = None) -> PaymentIntent:
    """The same for anything else on sale."""
    return _open(user_id, network, offer, None)


def _open(
    user_id: int, network: Network | None, offer: Offer, coupon_code: str | None
) -> PaymentIntent:
    chain = _chain(network)
    lock_user(user_id)
    open_ones = queries.list_open_intents(user_id)
    for intent in open_ones:
        asked = (chain.network, offer.code, offer.item)
        same = (intent.network, intent.invoice.item_code, intent.invoice.item) == asked
        price = (intent.invoice.amount, intent.invoice.currency)
        if same and not coupon_code and price == (offer.price.amount, offer.price.currency):
            if intent.expires_at - clock.now() >= REUSED_WHILE_LEFT:
                return intent
            _close(intent, IntentStatus.CANCELLED, f"user:{user_id}")
    if len([one for one in open_ones if one.status is IntentStatus.OPEN]) >= MOST_OPEN:
        raise TooManyIntents
    intent_id = new_id()
    if coupon_code:
        offer = lowered(offer, coupons.redeem(coupon_code, user_id, intent_id))
    return _new(user_id, offer, chain, intent_id)


def lowered(offer: Offer, gift: AnyGift) -> Offer:
    """The price with a percentage off; half a minor unit is paid in full."""
    if not isinstance(gift, PercentGift):
        raise CouponIsNoDiscount
    left = -(-offer.price.amount * (100 - gift.percent) // 100)
    return replace(offer, price=Money(left, offer.price.currency))


def _chain(network: Network | None) -> Chain:
    chosen = network or settings(ChainSettings).default_network
    chain = chains.chains().get(chosen)
    if chain is None or not chain.is_priced:
        raise NetworkNotWatched(network=chosen.value)
    return chain


def _new(user_id: int, offer: Offer, chain: Chain, intent_id: uuid.UUID) -> PaymentIntent:
    now = clock.now()
    invoice = open_invoice(user_id, offer, f"user:{user_id}", expires_at=now + LIVES)
    for _ in range(TRIES):
        amount = offer.price.amount + 1 + secrets.randbelow(STEPS_ABOVE_PRICE)
        if queries.is_amount_taken(chain.network, amount, now):
            continue
        intent = PaymentIntent(
            id=intent_id,
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
    coupons.give_back(intent.id)
