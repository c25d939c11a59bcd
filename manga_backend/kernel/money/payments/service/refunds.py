"""Giving money back into the wallet."""

from __future__ import annotations

import uuid

from manga_backend.kernel.backoffice.service import record_audit
from manga_backend.kernel.backoffice.types import Actor
from manga_backend.kernel.identity.queries import get_contact
from manga_backend.kernel.identity.service.sessions import lock_user
from manga_backend.kernel.money.ledger.service import own_account, transfer, wallet_account
from manga_backend.kernel.money.ledger.types import AccountKind, Move, TransferKind
from manga_backend.kernel.money.payments import messages, queries
from manga_backend.kernel.money.payments.errors import NotRefundable, PaymentNotPending
from manga_backend.kernel.money.payments.events import PaymentRefunded
from manga_backend.kernel.money.payments.models import Payment
from manga_backend.kernel.money.payments.service.booking import CREDIT, TOP_UP
from manga_backend.kernel.money.payments.service.steps import fulfilments, item_of, move_invoice
from manga_backend.kernel.money.payments.types import InvoiceStatus, PaymentStatus
from manga_backend.kernel.notifications.service.outbox import notify_user
from manga_backend.kernel.telegram.types import Message
from manga_backend.kit.events import publish
from manga_backend.kit.i18n import render


def refund(payment_id: uuid.UUID, actor: Actor, reason: str) -> Payment:
    """Put the price of an approved payment into its user's wallet, and take back what it gave.

    Once: NotRefundable for the second call, and for what cost nothing or went into the wallet
    itself. Locks the user. Audited; the user is told with the reason. PaymentNotFound.
    Publishes PaymentRefunded.
    """
    payment = queries.get_payment(payment_id)
    lock_user(payment.user_id)
    payment = queries.get_payment(payment_id)
    invoice = payment.invoice
    goes_to_wallet = invoice.fulfilment in (TOP_UP, CREDIT)
    if payment.status is not PaymentStatus.APPROVED or not invoice.amount or goes_to_wallet:
        raise NotRefundable
    try:
        move_invoice(invoice, InvoiceStatus.REFUNDED, actor.key)
    except PaymentNotPending:
        raise NotRefundable from None
    subject = f"payment:{payment.id}"
    transfer(
        [
            Move(
                kind=TransferKind.REFUND,
                debit_account_id=own_account(
                    AccountKind.REVENUE, invoice.product, invoice.currency, subject
                ),
                credit_account_id=wallet_account(payment.user_id, invoice.currency),
                amount=invoice.amount,
                currency=invoice.currency,
                key=f"{subject}:refund",
                subject=subject,
                note=reason,
                actor=actor.key,
            )
        ]
    )
    fulfilments[invoice.fulfilment].undo(item_of(invoice), payment.id, reason)
    publish(
        PaymentRefunded(
            payment_id=payment.id,
            user_id=payment.user_id,
            amount=invoice.amount,
            currency=invoice.currency,
        )
    )
    contact = get_contact(payment.user_id)
    text = render(messages.REFUNDED, contact.language, payment=payment, reason=reason)
    notify_user(contact, Message(text), kind="payment_refunded", subject=subject)
    record_audit(
        actor,
        "payment.refunded",
        "payment",
        payment.id,
        after={"amount": invoice.amount, "currency": invoice.currency, "reason": reason},
    )
    return payment
