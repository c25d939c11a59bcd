"""Payments that need nobody's decision: from the wallet, and by coupons."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from manga_backend.kernel.identity.queries import get_contact, get_user
from manga_backend.kernel.identity.service.sessions import lock_user
from manga_backend.kernel.money.coupons import service as coupons
from manga_backend.kernel.money.coupons.errors import CouponGoesWithIntent
from manga_backend.kernel.money.coupons.types import CreditGift, DaysGift
from manga_backend.kernel.money.ledger.service import own_account, transfer, wallet_account
from manga_backend.kernel.money.ledger.types import AccountKind, Move, TransferKind
from manga_backend.kernel.money.payments import messages
from manga_backend.kernel.money.payments.events import PaymentApproved
from manga_backend.kernel.money.payments.models import Payment
from manga_backend.kernel.money.payments.service.booking import CREDIT, book, sold
from manga_backend.kernel.money.payments.service.steps import (
    fulfil,
    invoice_and_payment,
    move_invoice,
)
from manga_backend.kernel.money.payments.service.submit import gifts, offer_of
from manga_backend.kernel.money.payments.types import (
    Fulfilled,
    InvoiceStatus,
    Method,
    Offer,
    PaymentStatus,
)
from manga_backend.kernel.notifications.service.outbox import notify_log_channel, notify_user
from manga_backend.kernel.telegram.types import Message
from manga_backend.kit import clock
from manga_backend.kit.db import new_id
from manga_backend.kit.events import publish
from manga_backend.kit.i18n import gettext, render
from manga_backend.kit.money import Money
from manga_backend.kit.problems import InvalidInput


@dataclass(frozen=True, slots=True)
class Paid:
    """A payment that was approved at once, and what it gave."""

    payment: Payment
    fulfilled: Fulfilled


def pay_from_wallet(user_id: int, plan: str | None = None) -> Paid:
    """Buy a plan with what is in the wallet, at once.

    InvalidInput (unknown plan), NotEnoughMoney. Locks the user, then the wallet. Publishes
    PaymentApproved. Run twice it buys twice: callers send an Idempotency-Key.
    """
    offer = offer_of(plan)
    lock_user(user_id)
    paid = _settle(user_id, offer, Method.WALLET, new_id())
    _tell(paid, messages.APPROVED, "payment_approved")
    return paid


def redeem_coupon(user_id: int, typed: str) -> Paid:
    """Take one use of a coupon and give what it holds, at once: days of a plan, or credit.

    Refusals of coupons.service.redeem; CouponGoesWithIntent for a percentage, of which no use is
    taken. Publishes PaymentApproved. Twice by one user gives once.
    """
    payment_id = new_id()
    gift = coupons.redeem(typed, user_id, payment_id)
    if isinstance(gift, DaysGift):
        offer = gifts["days"](gift.plan_code, gift.days)
        if offer is None:
            raise InvalidInput({"coupon_code": [gettext("There is no such plan.")]})
    elif isinstance(gift, CreditGift):
        offer = _credit_offer(gift)
    else:
        raise CouponGoesWithIntent
    paid = _settle(user_id, offer, Method.COUPON, payment_id)
    if isinstance(gift, CreditGift):
        _credit(paid, gift)
    _tell(paid, messages.COUPON_REDEEMED, "coupon_redeemed")
    line = render(
        messages.COUPON_LOG, None, fulfilled=paid.fulfilled, username=get_user(user_id).label
    )
    subject = f"payment:{paid.payment.id}"
    notify_log_channel(Message(line), kind="coupon_redeemed", subject=subject)
    return paid


def _credit_offer(gift: CreditGift) -> Offer:
    """At no price: the invoice is the receipt of a gift."""
    return Offer(
        product="wallet",
        code="credit",
        title="Credit",
        price=Money(0, gift.currency),
        fulfilment=CREDIT,
        item={"amount": gift.amount, "currency": gift.currency},
    )


def _credit(paid: Paid, gift: CreditGift) -> None:
    subject = f"payment:{paid.payment.id}"
    transfer(
        [
            Move(
                kind=TransferKind.GIFT,
                debit_account_id=own_account(AccountKind.GIFTS, "", gift.currency, subject),
                credit_account_id=wallet_account(paid.payment.user_id, gift.currency),
                amount=gift.amount,
                currency=gift.currency,
                key=subject,
                subject=subject,
            )
        ]
    )


def _settle(user_id: int, offer: Offer, method: Method, payment_id: uuid.UUID) -> Paid:
    """Invoice, approved payment, book and fulfilment, in the running transaction."""
    actor = f"user:{user_id}"
    now = clock.now()
    payment = invoice_and_payment(
        user_id,
        offer,
        actor,
        id=payment_id,
        method=method,
        status=PaymentStatus.APPROVED,
        submitted_at=now,
        decided_at=now,
        decided_by=actor,
        decided_by_label=get_user(user_id).label,
    )
    move_invoice(payment.invoice, InvoiceStatus.PAID, actor)
    book(payment)
    fulfilled = fulfil(payment.invoice, payment)
    publish(
        PaymentApproved(
            payment_id=payment.id,
            user_id=user_id,
            method=payment.method,
            sold=sold(payment),
            currency=payment.currency,
            at=now,
        )
    )
    return Paid(payment, fulfilled)


def _tell(paid: Paid, template: str, kind: str) -> None:
    contact = get_contact(paid.payment.user_id)
    text = render(template, contact.language, fulfilled=paid.fulfilled, payment=paid.payment)
    notify_user(contact, Message(text), kind=kind, subject=f"payment:{paid.payment.id}")
