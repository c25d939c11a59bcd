"""Payments as a subject of the desk: described, approved, rejected."""

from __future__ import annotations

import uuid

from manga_backend.kernel.approvals.types import Fact, Question
from manga_backend.kernel.backoffice.types import Actor
from manga_backend.kernel.identity.queries import get_contact, get_user
from manga_backend.kernel.money.chains import domain as chains
from manga_backend.kernel.money.payments import messages, queries
from manga_backend.kernel.money.payments.events import PaymentApproved, PaymentRejected
from manga_backend.kernel.money.payments.models import Payment
from manga_backend.kernel.money.payments.service.steps import (
    fulfil,
    fulfilments,
    item_of,
    move_invoice,
    move_payment,
)
from manga_backend.kernel.money.payments.types import InvoiceStatus, PaymentStatus
from manga_backend.kernel.notifications.service.outbox import notify_user
from manga_backend.kernel.notifications.types import Priority
from manga_backend.kernel.telegram.types import Message
from manga_backend.kit.db import session
from manga_backend.kit.events import publish
from manga_backend.kit.i18n import N_, gettext, local_digits, local_time, render
from manga_backend.kit.money import Money

VERDICTS = {"unchecked": N_("not checked on the chain; look at the explorer")}


class PaymentSubject:
    """What the desk knows of payments (approvals.types.Subject)."""

    def describe(self, subject_id: str) -> Question:
        """All that an admin needs, two-manga.md "Rules"."""
        payment = queries.get_payment(uuid.UUID(subject_id))
        user = get_user(payment.user_id)
        invoice = payment.invoice
        before = queries.count_of_user(user.id, PaymentStatus.APPROVED)
        before -= payment.status is PaymentStatus.APPROVED
        telegram = str(user.telegram_id or "—")
        if user.telegram_id is not None and user.telegram_verified_at is None:
            telegram += " " + gettext("(not verified)")
        facts = [
            Fact(gettext("Username"), user.label),
            Fact(gettext("Telegram ID"), telegram),
            *(Fact(label, text) for label, text in self._item_facts(payment)),
            Fact(gettext("Price"), f"{Money(invoice.amount, invoice.currency)} {invoice.currency}"),
        ]
        if payment.network is not None and payment.tx_hash is not None:
            facts += [
                Fact(gettext("Network"), payment.network.value),
                Fact(
                    gettext("Hash"),
                    chains.shown(payment.network, payment.tx_hash),
                    code=True,
                    url=chains.explorer_url(payment.network, payment.tx_hash),
                ),
                Fact(gettext("On the chain"), _verdict(payment)),
            ]
        facts += [
            Fact(gettext("Purchases so far"), local_digits(str(before))),
            Fact(gettext("Sent"), local_time(payment.submitted_at)),
        ]
        return Question(gettext("New payment"), facts)

    def approve(self, subject_id: str, actor: Actor) -> None:
        """Accept: the payment is approved, the invoice paid and fulfilled, the user told.

        PaymentNotPending when it was decided before. Publishes PaymentApproved.
        """
        payment = queries.get_payment(uuid.UUID(subject_id))
        move_payment(payment, PaymentStatus.APPROVED, actor.key, actor.label)
        move_invoice(payment.invoice, InvoiceStatus.PAID, actor.key)
        session().refresh(payment)
        fulfilled = fulfil(payment.invoice, payment)
        assert payment.decided_at is not None
        publish(
            PaymentApproved(
                payment_id=payment.id,
                user_id=payment.user_id,
                method=payment.method,
                amount=payment.amount,
                currency=payment.currency,
                at=payment.decided_at,
            )
        )
        self._tell_user(payment, messages.APPROVED, "payment_approved", fulfilled=fulfilled)

    def reject(self, subject_id: str, actor: Actor, reason: str | None) -> None:
        """Refuse: the payment is rejected, its invoice cancelled, the user told with the reason.

        PaymentNotPending when it was decided before. Publishes PaymentRejected.
        """
        payment = queries.get_payment(uuid.UUID(subject_id))
        move_payment(payment, PaymentStatus.REJECTED, actor.key, actor.label, reason)
        move_invoice(payment.invoice, InvoiceStatus.CANCELLED, actor.key)
        publish(
            PaymentRejected(payment_id=payment.id, user_id=payment.user_id, method=payment.method)
        )
        self._tell_user(payment, messages.REJECTED, "payment_rejected", reason=reason)

    @staticmethod
    def _item_facts(payment: Payment) -> list[tuple[str, str]]:
        return fulfilments[payment.invoice.fulfilment].facts(item_of(payment.invoice))

    @staticmethod
    def _tell_user(payment: Payment, template: str, kind: str, **context: object) -> None:
        contact = get_contact(payment.user_id)
        text = render(template, contact.language, payment=payment, **context)
        notify_user(
            contact,
            Message(text),
            kind=kind,
            subject=f"payment:{payment.id}",
            priority=Priority.DECISION,
        )


def _verdict(payment: Payment) -> str:
    verdict = str((payment.verification or {}).get("verdict", "unchecked"))
    return gettext(VERDICTS.get(verdict, verdict))
