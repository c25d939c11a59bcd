"""Payments through a gateway: the order, and what the provider says of it."""

from __future__ import annotations

import logging
import uuid
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import select

from manga_backend.kernel.approvals.service.asking import file_approval
from manga_backend.kernel.identity.service.sessions import lock_user
from manga_backend.kernel.money.gateways.errors import GatewayOff
from manga_backend.kernel.money.gateways.settings import GatewaySettings
from manga_backend.kernel.money.gateways.types import PROVIDER, Checkout, CheckoutStatus
from manga_backend.kernel.money.payments import queries
from manga_backend.kernel.money.payments.models import Payment
from manga_backend.kernel.money.payments.service.decide import PaymentSubject
from manga_backend.kernel.money.payments.service.steps import (
    move_invoice,
    move_payment,
    order_of,
)
from manga_backend.kernel.money.payments.service.submit import APPROVAL_KIND
from manga_backend.kernel.money.payments.types import (
    InvoiceStatus,
    Method,
    Offer,
    PaymentStatus,
)
from manga_backend.kit import clock
from manga_backend.kit.db import session
from manga_backend.kit.money import decimal_string, read_amount
from manga_backend.kit.settings import settings

log = logging.getLogger(__name__)

REUSED_FOR = timedelta(minutes=45)
"""The provider's page lives for an hour."""
POLL_EVERY = timedelta(minutes=2)
POLLED_FOR = timedelta(days=2)
BATCH = 50


@dataclass(frozen=True, slots=True)
class Order:
    """What the provider is asked to take."""

    payment_id: uuid.UUID
    invoice_id: uuid.UUID
    order_id: str
    amount: str
    currency: str


def open_order(user_id: int, offer: Offer) -> Order:
    """A pending payment that waits for the provider's word. The same question within
    REUSED_FOR gives the same order. GatewayOff, TooManyIntents. Locks the user."""
    if not settings(GatewaySettings).enabled:
        raise GatewayOff
    lock_user(user_id)
    verify_at = clock.now() + POLL_EVERY
    payment = order_of(user_id, offer, Method.GATEWAY, REUSED_FOR, verify_at)
    amount = decimal_string(payment.amount, payment.currency)
    return Order(payment.id, payment.invoice_id, payment.id.hex, amount, payment.currency)


def note_page(payment_id: uuid.UUID, checkout: Checkout) -> None:
    """Keep the provider's page with the payment. May run twice."""
    payment = session().get_one(Payment, payment_id)
    payment.verification = {
        **(payment.verification or {}),
        "checkout_url": checkout.url,
        "reference": checkout.reference,
    }
    session().flush()


def settle(checkout: Checkout) -> str:
    """Do what the provider's word asks for; what was done, in words for admins.

    Credits only an amount and a currency that are the invoice's. Locks the payment: of any number
    of calls at once one approves it, and the others find it approved.
    """
    payment = _lock(checkout.order_id)
    if payment is None:
        return "no such order"
    if not _is_price(payment, checkout):
        log.error("order %s: its amount or currency is not the invoice's", checkout.order_id)
        return "the amount or the currency is not the invoice's"
    if payment.status is not PaymentStatus.PENDING:
        if checkout.status is CheckoutStatus.PAID and payment.status is not PaymentStatus.APPROVED:
            log.error("order %s was paid after it was closed: look at it", checkout.order_id)
            return f"paid, but the payment is {payment.status.value}: look at it"
        return f"nothing to do: {payment.status.value}"
    if checkout.status is CheckoutStatus.PAID:
        payment.verify_at = None
        PaymentSubject().approve(str(payment.id), PROVIDER)
        return "approved"
    if checkout.status is CheckoutStatus.FAILED:
        move_payment(payment, PaymentStatus.EXPIRED, PROVIDER.key, PROVIDER.label)
        move_invoice(queries.get_payment(payment.id).invoice, InvoiceStatus.EXPIRED, PROVIDER.key)
        return "closed"
    if checkout.status is CheckoutStatus.UNDERPAID:
        return _ask_people(payment, checkout)
    return "still under way"


def _ask_people(payment: Payment, checkout: Checkout) -> str:
    if payment.verify_at is None and (payment.verification or {}).get("verdict"):
        return "waits for an admin"
    paid = read_amount(checkout.paid or "", payment.currency)
    seen: dict[str, Any] = {"verdict": "too_little", "amount": paid, "final": True}
    payment.verification = {**(payment.verification or {}), **seen}
    payment.verify_at = None
    session().flush()
    file_approval(APPROVAL_KIND, str(payment.id))
    return "too little was paid: an admin is asked"


def _lock(order_id: str) -> Payment | None:
    try:
        payment_id = uuid.UUID(hex=order_id)
    except ValueError:
        return None
    return session().scalar(
        select(Payment)
        .where(Payment.id == payment_id, Payment.method == Method.GATEWAY)
        .with_for_update()
        .execution_options(populate_existing=True)
    )


def _is_price(payment: Payment, checkout: Checkout) -> bool:
    same = checkout.currency == payment.currency
    return same and read_amount(checkout.amount, payment.currency) == payment.amount


def claim_orders_to_poll() -> list[str]:
    """Orders whose webhook may never come; their next time is set at once, so that another one asks
    about others."""
    now = clock.now()
    due = list(
        session().scalars(
            select(Payment)
            .where(
                Payment.status == PaymentStatus.PENDING,
                Payment.method == Method.GATEWAY,
                Payment.verify_at <= now,
            )
            .order_by(Payment.verify_at)
            .limit(BATCH)
            .with_for_update(skip_locked=True)
        )
    )
    for payment in due:
        old = now - payment.submitted_at >= POLLED_FOR
        payment.verify_at = None if old else now + POLL_EVERY
    session().flush()
    return [payment.id.hex for payment in due]
