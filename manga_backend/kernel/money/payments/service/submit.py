"""Paying by a transaction hash or by a coupon."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy.exc import IntegrityError

from manga_backend.kernel.approvals.service import file_approval
from manga_backend.kernel.identity.queries import get_contact, get_user
from manga_backend.kernel.identity.service.sessions import lock_user
from manga_backend.kernel.money.chains import domain as chains
from manga_backend.kernel.money.chains.settings import ChainSettings
from manga_backend.kernel.money.chains.types import Network, Verdict
from manga_backend.kernel.money.coupons import service as coupons
from manga_backend.kernel.money.payments import messages, queries
from manga_backend.kernel.money.payments.errors import TooManyPending, TransactionAlreadyUsed
from manga_backend.kernel.money.payments.events import PaymentApproved
from manga_backend.kernel.money.payments.models import Payment
from manga_backend.kernel.money.payments.service.steps import (
    fulfil,
    move_invoice,
    note_payment_step,
    open_invoice,
)
from manga_backend.kernel.money.payments.types import (
    Fulfilled,
    GiftSource,
    InvoiceStatus,
    Method,
    Offer,
    OfferSource,
    PaymentStatus,
)
from manga_backend.kernel.notifications.service.outbox import notify_log_channel, notify_user
from manga_backend.kernel.telegram.types import Message
from manga_backend.kit import clock
from manga_backend.kit.db import new_id, session, violates
from manga_backend.kit.events import publish
from manga_backend.kit.i18n import gettext, render
from manga_backend.kit.jobs import wake
from manga_backend.kit.problems import InvalidInput
from manga_backend.kit.registry import Registry
from manga_backend.kit.settings import settings

APPROVAL_KIND = "payment"
VERIFY = "payments.verify"
MAX_PENDING = 3
MAX_RESUBMISSIONS = 3
"""How often a user may send a hash again after it was rejected or expired (two-manga.md)."""

offers: Registry[OfferSource] = Registry("payments.offers")
"""`plan`: what a plan code costs."""

gifts: Registry[GiftSource] = Registry("payments.gifts")
"""`days`: what a coupon of days gives."""


@dataclass(frozen=True, slots=True)
class Redeemed:
    """A coupon's payment and what it gave."""

    payment: Payment
    fulfilled: Fulfilled


def offer_of(plan: str | None) -> Offer:
    """What a plan, or the default one, costs now. InvalidInput."""
    offer = offers["plan"](plan)
    if offer is None:
        raise InvalidInput({"plan": [gettext("There is no such plan.")]})
    return offer


def submit_transaction(
    user_id: int, tx_hash: str, network: Network | None = None, plan: str | None = None
) -> Payment:
    """Claim a transaction as payment for a plan; it waits for an admin.

    Refusals: InvalidInput (unknown plan, wrong shape), TransactionAlreadyUsed, TooManyPending.
    Locks the user; the hash is unique among pending and approved payments by an index, so of any
    number of callers at once one succeeds.
    """
    known = settings(ChainSettings)
    chosen = network or known.default_network
    offer = offer_of(plan)
    stored = chains.normalised(chosen, tx_hash)
    if stored is None:
        words = gettext("This is not a transaction hash of %(network)s.", network=chosen.value)
        raise InvalidInput({"tx_hash": [words]})
    lock_user(user_id)
    sent_before = queries.count_submissions(user_id, stored)
    if queries.is_taken(stored) or sent_before > MAX_RESUBMISSIONS:
        raise TransactionAlreadyUsed
    if queries.count_of_user(user_id, PaymentStatus.PENDING) >= MAX_PENDING:
        raise TooManyPending
    actor = f"user:{user_id}"
    invoice = open_invoice(user_id, offer, actor)
    payment = Payment(
        id=new_id(),
        invoice_id=invoice.id,
        user_id=user_id,
        method=Method.CRYPTO,
        status=PaymentStatus.PENDING,
        amount=invoice.amount,
        currency=invoice.currency,
        network=chosen,
        tx_hash=stored,
        address=known.addresses.get(chosen),
        verification={"verdict": Verdict.UNCHECKED.value},
        verify_at=clock.now() if chosen in known.chains else None,
        submitted_at=clock.now(),
    )
    payment.invoice = invoice
    session().add(payment)
    try:
        session().flush()
    except IntegrityError as error:
        if violates(error, Payment.tx_hash):
            raise TransactionAlreadyUsed from None
        raise
    note_payment_step(payment.id, None, PaymentStatus.PENDING, actor)
    file_approval(APPROVAL_KIND, str(payment.id))
    if payment.verify_at is not None:
        wake(VERIFY)
    return payment


def redeem_coupon(user_id: int, typed: str) -> Redeemed:
    """Take one use of a coupon and give what it holds, at once.

    Refusals of coupons.service.redeem. Publishes PaymentApproved. Twice by one user gives once.
    """
    payment_id = new_id()
    gift = coupons.redeem(typed, user_id, payment_id)
    offer = gifts["days"](gift.plan_code, gift.days)
    if offer is None:
        raise InvalidInput({"coupon_code": [gettext("There is no such plan.")]})
    actor = f"user:{user_id}"
    label = get_user(user_id).label
    invoice = open_invoice(user_id, offer, actor)
    now = clock.now()
    payment = Payment(
        id=payment_id,
        invoice_id=invoice.id,
        user_id=user_id,
        method=Method.COUPON,
        status=PaymentStatus.APPROVED,
        amount=0,
        currency=invoice.currency,
        submitted_at=now,
        decided_at=now,
        decided_by=actor,
        decided_by_label=label,
    )
    payment.invoice = invoice
    session().add(payment)
    session().flush()
    note_payment_step(payment.id, None, PaymentStatus.APPROVED, actor)
    move_invoice(invoice, InvoiceStatus.PAID, actor)
    fulfilled = fulfil(invoice, payment)
    publish(
        PaymentApproved(
            payment_id=payment.id,
            user_id=user_id,
            method=payment.method,
            amount=0,
            currency=payment.currency,
            at=now,
        )
    )
    _tell_of_coupon(payment, fulfilled, label)
    return Redeemed(payment, fulfilled)


def _tell_of_coupon(payment: Payment, fulfilled: Fulfilled, label: str) -> None:
    contact = get_contact(payment.user_id)
    subject = f"payment:{payment.id}"
    text = render(messages.COUPON_REDEEMED, contact.language, fulfilled=fulfilled)
    notify_user(contact, Message(text), kind="coupon_redeemed", subject=subject)
    line = render(messages.COUPON_LOG, None, fulfilled=fulfilled, username=label)
    notify_log_channel(Message(line), kind="coupon_redeemed", subject=subject)
