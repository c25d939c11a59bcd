"""Giving money back into the wallet."""

from __future__ import annotations

import uuid

from manga_backend.kernel.backoffice.service import record_audit
from manga_backend.kernel.backoffice.types import Actor
from manga_backend.kernel.identity.queries import get_contact
from manga_backend.kernel.identity.service.sessions import lock_user
from manga_backend.kernel.money.payments import messages, queries
from manga_backend.kernel.money.payments.errors import NotRefundable, PaymentNotPending
from manga_backend.kernel.money.payments.events import PaymentRefunded
from manga_backend.kernel.money.payments.models import Payment
from manga_backend.kernel.money.payments.service.booking import FILL_THE_WALLET, sold, unbook
from manga_backend.kernel.money.payments.service.stars import request_refund
from manga_backend.kernel.money.payments.service.steps import fulfilments, item_of, move_invoice
from manga_backend.kernel.money.payments.types import InvoiceStatus, Method, PaymentStatus
from manga_backend.kernel.notifications.service.outbox import notify_user
from manga_backend.kernel.telegram.types import Message
from manga_backend.kit.events import publish
from manga_backend.kit.i18n import render


def refund(payment_id: uuid.UUID, actor: Actor, reason: str) -> Payment:
    """Put what was paid by an approved payment into its user's wallet, and take back what it gave.

    Once: NotRefundable for the second call, and for what cost nothing or went into the wallet
    itself. Locks the user. Audited; the user is told with the reason. PaymentNotFound.
    Publishes PaymentRefunded. Stars go back by themselves: `stars.request_refund`.
    """
    payment = queries.get_payment(payment_id)
    if payment.method is Method.STARS:
        return request_refund(payment_id, actor, reason)
    lock_user(payment.user_id)
    payment = queries.get_payment(payment_id)
    invoice = payment.invoice
    goes_to_wallet = invoice.fulfilment in FILL_THE_WALLET
    if payment.status is not PaymentStatus.APPROVED or goes_to_wallet or not sold(payment):
        raise NotRefundable
    try:
        move_invoice(invoice, InvoiceStatus.REFUNDED, actor.key)
    except PaymentNotPending:
        raise NotRefundable from None
    paid = unbook(payment, reason, actor.key)
    fulfilments[invoice.fulfilment].undo(item_of(invoice), payment.id, reason)
    publish(
        PaymentRefunded(
            payment_id=payment.id,
            user_id=payment.user_id,
            amount=paid,
            currency=invoice.currency,
        )
    )
    contact = get_contact(payment.user_id)
    text = render(messages.REFUNDED, contact.language, payment=payment, amount=paid, reason=reason)
    notify_user(contact, Message(text), kind="payment_refunded", subject=f"payment:{payment.id}")
    record_audit(
        actor,
        "payment.refunded",
        "payment",
        payment.id,
        after={"amount": paid, "currency": invoice.currency, "reason": reason},
    )
    return payment
