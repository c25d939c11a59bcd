"""Telegram Stars: invoices, Telegram's question before one is paid, its word that it was, and the
way back."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import select

from manga_backend.kernel.approvals.service.asking import notify_admins
from manga_backend.kernel.backoffice.service import record_audit
from manga_backend.kernel.backoffice.types import Actor, Channel
from manga_backend.kernel.identity.queries import get_contact
from manga_backend.kernel.identity.service.sessions import lock_user
from manga_backend.kernel.money.ledger.service import post, reserve, transfer, void
from manga_backend.kernel.money.ledger.types import TransferKind
from manga_backend.kernel.money.payments import messages, queries
from manga_backend.kernel.money.payments.errors import NotRefundable
from manga_backend.kernel.money.payments.models import Payment, StarsRefund, refund_key
from manga_backend.kernel.money.payments.service.booking import (
    EXCHANGE,
    credit_of,
    reversed_move,
    sale_of,
)
from manga_backend.kernel.money.payments.service.decide import PaymentSubject
from manga_backend.kernel.money.payments.service.steps import (
    move_invoice,
    move_payment,
    order_of,
)
from manga_backend.kernel.money.payments.types import InvoiceStatus, Method, Offer, PaymentStatus
from manga_backend.kernel.notifications.service.outbox import notify_user
from manga_backend.kernel.telegram.errors import UnknownInvoice
from manga_backend.kernel.telegram.types import CheckoutQuestion, Message, Purchase
from manga_backend.kit import clock
from manga_backend.kit.db import insert_or, session
from manga_backend.kit.i18n import render
from manga_backend.kit.jobs import wake
from manga_backend.kit.money import Money

PAYLOAD = "stars"
CURRENCY = "XTR"
REFUND = "payments.refund_stars"
TELEGRAM = Actor("telegram_stars", "Telegram Stars", Channel.SYSTEM)
PAYABLE_FOR = timedelta(hours=1)
REUSED_FOR = timedelta(minutes=45)
"""The same question within it gives the same invoice."""
LEASE = timedelta(seconds=60)
LONGEST_PAUSE_SECONDS = 1800


@dataclass(frozen=True, slots=True)
class StarsOrder:
    """What Telegram is asked to make a link for."""

    payment_id: uuid.UUID
    invoice_id: uuid.UUID
    payload: str
    stars: int


@dataclass(frozen=True, slots=True)
class Errand:
    """Stars that Telegram is asked to give back."""

    charge_id: str
    payer_id: int


def open_stars_order(user_id: int, offer: Offer) -> StarsOrder:
    """A pending payment of an offer whose price is in Stars; the same question soon after gives the
    same one. TooManyIntents. Locks the user."""
    lock_user(user_id)
    until = clock.now() + PAYABLE_FOR
    payment = order_of(user_id, offer, Method.STARS, REUSED_FOR, until, expires_at=until)
    return StarsOrder(payment.id, payment.invoice_id, f"{PAYLOAD}:{payment.id.hex}", payment.amount)


class StarsInvoices:
    """What Telegram tells of them (telegram.types.InvoiceHandler)."""

    def may_pay(self, question: CheckoutQuestion) -> bool:
        """While it is pending, and for exactly its price. From now on there is time enough for the
        money to come: it is not closed meanwhile. Locks the payment."""
        payment = _lock(question.payload)
        if payment is None or not _is_price(payment, question):
            return False
        now = clock.now()
        if payment.status is not PaymentStatus.PENDING or _is_over(payment, now):
            return False
        payment.verify_at = now + PAYABLE_FOR
        session().flush()
        return True

    def paid(self, purchase: Purchase) -> None:
        """Approve the payment, once for each charge. What was paid a second time, or after all,
        goes back by itself. Locks the payment."""
        payment = _lock(purchase.payload)
        if payment is None:
            raise UnknownInvoice(purchase)
        if payment.charge_id == purchase.charge_id:
            return
        if payment.status is not PaymentStatus.PENDING or not _is_price(payment, purchase):
            reason = f"the payment is {payment.status.value} already"
            payer = purchase.sender.id
            _send_back(payment, purchase.charge_id, payer, TELEGRAM, reason, is_surplus=True)
            return
        payment.charge_id, payment.verify_at = purchase.charge_id, None
        payment.verification = {**(payment.verification or {}), "payer_id": purchase.sender.id}
        session().flush()
        PaymentSubject().approve(str(payment.id), TELEGRAM)


def _lock(payload: str) -> Payment | None:
    try:
        payment_id = uuid.UUID(hex=payload.partition(":")[2])
    except ValueError:
        return None
    return session().scalar(
        select(Payment)
        .where(Payment.id == payment_id, Payment.method == Method.STARS)
        .with_for_update()
        .execution_options(populate_existing=True)
    )


def _is_price(payment: Payment, told: CheckoutQuestion | Purchase) -> bool:
    return (told.amount, told.currency) == (payment.amount, payment.currency)


def _is_over(payment: Payment, now: datetime) -> bool:
    return payment.verify_at is None or payment.verify_at <= now


def expire_unpaid(limit: int) -> int:
    """Close invoices that nobody paid in time; returns how many. May run twice and at once."""
    due = list(
        session().scalars(
            select(Payment)
            .where(
                Payment.status == PaymentStatus.PENDING,
                Payment.method == Method.STARS,
                Payment.verify_at <= clock.now(),
            )
            .order_by(Payment.verify_at)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
    )
    for payment in due:
        move_payment(payment, PaymentStatus.EXPIRED, TELEGRAM.key, TELEGRAM.label)
        invoice = queries.get_payment(payment.id).invoice
        move_invoice(invoice, InvoiceStatus.EXPIRED, TELEGRAM.key)
    return len(due)


# ---- the way back -----------------------------------------------------------------------------


def request_refund(payment_id: uuid.UUID, actor: Actor, reason: str) -> Payment:
    """Give the payer's Stars back; what they bought is reserved in the wallet until Telegram has
    done it. Once: NotRefundable for the second call. NotEnoughMoney when it is spent. Locks the
    user, then the wallet. Audited. PaymentNotFound."""
    payment = _lock_payer(payment_id)
    paid = payment.status is PaymentStatus.APPROVED and payment.charge_id is not None
    if not paid or payment.invoice.fulfilment != EXCHANGE or queries.find_refund(payment):
        raise NotRefundable
    assert payment.charge_id is not None
    _reserve(payment, times=1)
    payer_id = int((payment.verification or {})["payer_id"])
    _send_back(payment, payment.charge_id, payer_id, actor, reason, is_surplus=False)
    _audit_refund(payment, actor, payment.charge_id, reason)
    return payment


def request_again(payment_id: uuid.UUID, charge_id: str, actor: Actor) -> None:
    """What Telegram refused for good, of a payment or of its surplus, is asked for once more.
    NotRefundable for anything else. NotEnoughMoney. Locks the user, then the wallet. Audited.
    PaymentNotFound."""
    payment = _lock_payer(payment_id)
    row = queries.find_refused_refund(payment.id, charge_id)
    if row is None:
        raise NotRefundable
    if not row.is_surplus:
        _reserve(payment, row.times + 1)
    row.times, row.attempts, row.due_at = row.times + 1, 0, clock.now()
    row.problem = row.settled_at = None
    session().flush()
    wake(REFUND)
    _audit_refund(payment, actor, charge_id, row.reason)


def _lock_payer(payment_id: uuid.UUID) -> Payment:
    lock_user(queries.get_payment(payment_id).user_id)
    return queries.get_payment(payment_id)


def _audit_refund(payment: Payment, actor: Actor, charge_id: str, reason: str) -> None:
    what = {"charge_id": charge_id, "reason": reason}
    record_audit(actor, "payment.stars_refund_requested", "payment", payment.id, after=what)


def _reserve(payment: Payment, times: int) -> None:
    key = refund_key(payment.id, times)
    reserve([reversed_move(credit_of(payment), TransferKind.REFUND, key)])


def _send_back(
    payment: Payment, charge_id: str, payer_id: int, actor: Actor, reason: str, *, is_surplus: bool
) -> None:
    now = clock.now()
    row = {
        "charge_id": charge_id,
        "payment_id": payment.id,
        "payer_id": payer_id,
        "is_surplus": is_surplus,
        "reason": reason,
        "actor": actor.key,
        "requested_at": now,
        "due_at": now,
        "attempts": 0,
        "times": 1,
    }
    session().execute(insert_or(StarsRefund).values(row).on_conflict_do_nothing())
    wake(REFUND)


def claim_refund() -> Errand | None:
    """Lease the next that is due; the attempt is counted before the call."""
    now = clock.now()
    row = session().scalar(
        select(StarsRefund)
        .where(StarsRefund.settled_at.is_(None), StarsRefund.due_at <= now)
        .order_by(StarsRefund.due_at)
        .limit(1)
        .with_for_update(skip_locked=True)
        .execution_options(populate_existing=True)
    )
    if row is None:
        return None
    row.due_at, row.attempts = now + LEASE, row.attempts + 1
    session().flush()
    return Errand(row.charge_id, row.payer_id)


def record_refund(charge_id: str, problem: str | None, *, is_final: bool) -> None:
    """What Telegram said. Done: the reserved amount leaves the wallet, and the user is told.
    Refused for good: it is free again, and admins hear of it. Otherwise it is tried again. May run
    twice."""
    row = session().scalar(
        select(StarsRefund)
        .where(StarsRefund.charge_id == charge_id, StarsRefund.settled_at.is_(None))
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    if row is None:
        return
    now = clock.now()
    row.problem = problem
    if problem is None:
        row.settled_at = now
        if not row.is_surplus:
            _take_back(row)
    elif is_final:
        row.settled_at = now
        if not row.is_surplus:
            void(row.key)
        subject = f"payment:{row.payment_id}"
        notify_admins(messages.STARS_REFUSED, "stars_refused", subject=subject, refund=row)
    else:
        pause = min(LONGEST_PAUSE_SECONDS, 2 ** min(row.attempts, 12))
        row.due_at = now + timedelta(seconds=pause)
    session().flush()


def _take_back(row: StarsRefund) -> None:
    payment = queries.get_payment(row.payment_id)
    post(row.key)
    transfer([reversed_move(sale_of(payment), TransferKind.REFUND, f"{row.key}:stars")])
    move_invoice(payment.invoice, InvoiceStatus.REFUNDED, row.actor)
    contact = get_contact(payment.user_id)
    item = payment.invoice.item
    text = render(
        messages.STARS_REFUNDED,
        contact.language,
        stars=payment.amount,
        credit=Money(int(item["amount"]), item["currency"]),
        reason=row.reason,
    )
    subject = f"payment:{payment.id}"
    notify_user(contact, Message(text), kind="stars_refunded", subject=subject)
