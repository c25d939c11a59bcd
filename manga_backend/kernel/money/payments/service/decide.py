"""Payments as a subject of the desk: described, approved, rejected."""

from __future__ import annotations

import uuid
from collections.abc import Collection
from functools import partial

from manga_backend.kernel.approvals.service.asking import about_user
from manga_backend.kernel.approvals.settings import ApprovalSettings
from manga_backend.kernel.approvals.types import Asker, Fact, Look, Option, Question, Sight
from manga_backend.kernel.backoffice.types import Actor
from manga_backend.kernel.identity.queries import find_users, get_contact
from manga_backend.kernel.money.chains import domain as chains
from manga_backend.kernel.money.chains.types import Verdict
from manga_backend.kernel.money.payments import messages, queries
from manga_backend.kernel.money.payments.events import PaymentApproved, PaymentRejected
from manga_backend.kernel.money.payments.models import Payment
from manga_backend.kernel.money.payments.service.booking import book, received_by, sold
from manga_backend.kernel.money.payments.service.shorter import (
    exchange,
    find_shorter,
    option_of,
    plan_of,
)
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
from manga_backend.kit.settings import settings

VERDICTS = {
    Verdict.UNCHECKED: N_("not checked on the chain; look at the explorer"),
    Verdict.MATCH: N_("✅ the amount, the receiver and the token are right"),
    Verdict.WRONG_RECEIVER: N_("❗ it was paid to another address"),
    Verdict.WRONG_TOKEN: N_("❗ another token came, not USDT"),
    Verdict.TOO_LITTLE: N_("❗ less than the price came"),
    Verdict.TOO_MUCH: N_("more than the price came; the rest goes to the wallet"),
    Verdict.FAILED: N_("❗ the transaction failed"),
    Verdict.TOO_OLD: N_("❗ the transaction is too old for this payment"),
    Verdict.UNCONFIRMED: N_("⏳ not confirmed yet; asked again"),
    Verdict.NOT_FOUND: N_("⏳ not found yet; asked again"),
    Verdict.UNKNOWN: N_("⏳ the chain can't be asked now; asked again"),
    Verdict.RECEIVED: N_("something came to our address; compare the amount"),
}


class PaymentSubject:
    """What the desk knows of payments (approvals.types.Subject)."""

    def look_at(self, subject_ids: Collection[str]) -> dict[str, Sight]:
        """All that an admin needs, two-manga.md "Rules"; and a shorter plan, when less than the
        price came."""
        found = queries.list_with_purchases([uuid.UUID(one) for one in subject_ids])
        users = find_users({payment.user_id for payment, _ in found})
        return {
            str(payment.id): partial(_look, payment, users[payment.user_id], approved)
            for payment, approved in found
        }

    def needs_two(self, subject_id: str) -> bool:
        """By its price, or by what really came if that is more."""
        payment = queries.get_payment(uuid.UUID(subject_id))
        return is_large(payment)

    def approve(self, subject_id: str, actor: Actor, option: str | None = None) -> None:
        """Accept: the payment is approved, the invoice paid and fulfilled, the user told; with an
        option it is for the shorter plan first.

        PaymentNotPending when it was decided before. Publishes PaymentApproved.
        """
        payment = queries.get_payment(uuid.UUID(subject_id))
        shorter = find_shorter(payment) if option is not None else None
        if shorter is not None:
            exchange(payment, shorter, actor)
        move_payment(payment, PaymentStatus.APPROVED, actor.key, actor.label)
        move_invoice(payment.invoice, InvoiceStatus.PAID, actor.key)
        session().refresh(payment)
        rest = Money(book(payment), payment.currency)
        fulfilled = fulfil(payment.invoice, payment)
        assert payment.decided_at is not None
        publish(
            PaymentApproved(
                payment_id=payment.id,
                user_id=payment.user_id,
                method=payment.method,
                sold=sold(payment),
                currency=payment.currency,
                at=payment.decided_at,
            )
        )
        self._tell_user(
            payment,
            messages.APPROVED,
            "payment_approved",
            fulfilled=fulfilled,
            rest=rest if rest.amount else None,
            taken_for=plan_of if shorter else None,
        )

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


def _look(payment: Payment, user: Asker, approved: int) -> Look:
    return Look(_question(payment, user, approved), _option(payment), _is_clear(payment))


def _question(payment: Payment, user: Asker, approved: int) -> Question:
    invoice = payment.invoice
    before = approved - (payment.status is PaymentStatus.APPROVED)
    item_facts = fulfilments[invoice.fulfilment].facts(item_of(invoice))
    facts = [
        *about_user(user),
        *(Fact(label, text) for label, text in item_facts),
        Fact(gettext("Price"), Money(invoice.amount, invoice.currency).with_currency),
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
        ]
    if payment.network is not None or (payment.verification or {}).get("verdict"):
        facts += _chain_facts(payment)
    facts += [
        Fact(gettext("Purchases so far"), local_digits(str(before))),
        Fact(gettext("Sent"), local_time(payment.submitted_at)),
    ]
    return Question(gettext("Payment"), facts, payment.user_id)


def _option(payment: Payment) -> Option | None:
    offer = find_shorter(payment)
    return option_of(payment, offer) if offer else None


def _is_clear(payment: Payment) -> bool:
    """The chain says that all is right, for good, and it is no large sum."""
    seen = payment.verification or {}
    doubts = seen.get("belongs_to_another_intent") or seen.get("late") or is_large(payment)
    return seen.get("verdict") == Verdict.MATCH and bool(seen.get("final")) and not doubts


def _chain_facts(payment: Payment) -> list[Fact]:
    """What the chain says, and what it rests on."""
    seen = payment.verification or {}
    verdict = Verdict(seen.get("verdict", Verdict.UNCHECKED))
    where = gettext("On the chain") if payment.network else gettext("The provider says")
    facts = [Fact(where, gettext(VERDICTS[verdict]))]
    if seen.get("amount") is not None and verdict is not Verdict.WRONG_RECEIVER:
        came = Money(seen["amount"], payment.currency).with_currency
        facts.append(Fact(gettext("Received"), came))
        if verdict is Verdict.TOO_LITTLE:
            missing = Money(payment.amount - seen["amount"], payment.currency)
            facts.append(Fact(gettext("Missing"), missing.with_currency))
    if verdict is Verdict.UNCONFIRMED and seen.get("needed"):
        counted = f"{seen['confirmations']}/{seen['needed']}"
        facts.append(Fact(gettext("Confirmations"), local_digits(counted)))
    if seen.get("belongs_to_another_intent"):
        words = gettext("❗ its amount is what another user promised to pay")
        facts.append(Fact(gettext("Whose"), words))
    if seen.get("late"):
        facts.append(Fact(gettext("When"), gettext("after the time for this payment was over")))
    return facts


def is_large(payment: Payment) -> bool:
    """Whether one person may not approve it alone."""
    amount = max(payment.amount, received_by(payment) or 0)
    return settings(ApprovalSettings).needs_two(amount)
