"""The only way in which invoices and payments change their status."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta
from typing import Any, Protocol

from sqlalchemy import update
from sqlalchemy.orm.attributes import set_committed_value

from manga_backend.kernel.money.payments import queries
from manga_backend.kernel.money.payments.errors import PaymentNotPending, TooManyIntents
from manga_backend.kernel.money.payments.models import (
    INVOICE_STEPS,
    PAYMENT_STEPS,
    Invoice,
    InvoiceHistory,
    Payment,
    PaymentHistory,
)
from manga_backend.kernel.money.payments.types import (
    Fulfilled,
    InvoiceStatus,
    Item,
    Method,
    Offer,
    PaymentStatus,
)
from manga_backend.kit import clock
from manga_backend.kit.db import new_id, session
from manga_backend.kit.inserts import insert_together
from manga_backend.kit.registry import Registry

MOST_OPEN_ORDERS = 5
"""Invoices by one method that a user may have unpaid at a time."""


class Fulfilment(Protocol):
    """What a product does when its invoice is paid; runs inside the decision's transaction."""

    def fulfil(self, item: Item, payment_id: uuid.UUID) -> Fulfilled:
        """Give what was paid for; called once for each approved payment."""

    def undo(self, item: Item, payment_id: uuid.UUID, reason: str) -> None:
        """Take back what was given, when it is refunded; called once for each payment."""

    def facts(self, item: Item) -> list[tuple[str, str]]:
        """Label and value of what an admin should know, in the language of the moment."""


fulfilments: Registry[Fulfilment] = Registry("payments.fulfilments")


def item_of(invoice: Invoice) -> Item:
    """What the invoice is for."""
    return Item(invoice.user_id, invoice.product, invoice.item_code, invoice.title, invoice.item)


def fulfil(invoice: Invoice, payment: Payment) -> Fulfilled:
    """Have the product give what this approved payment paid for."""
    return fulfilments[invoice.fulfilment].fulfil(item_of(invoice), payment.id)


def open_invoice(
    user_id: int, offer: Offer, actor: str, *, expires_at: datetime | None = None
) -> Invoice:
    """An invoice with the offer's price of this moment."""
    invoice, step = _new_invoice(user_id, offer, actor, expires_at)
    insert_together(invoice, step)
    return invoice


def _new_invoice(
    user_id: int, offer: Offer, actor: str, expires_at: datetime | None
) -> tuple[Invoice, InvoiceHistory]:
    now = clock.now()
    invoice = Invoice(
        id=new_id(),
        user_id=user_id,
        product=offer.product,
        item_code=offer.code,
        item=offer.item,
        title=offer.title,
        fulfilment=offer.fulfilment,
        amount=offer.price.amount,
        currency=offer.price.currency,
        status=InvoiceStatus.OPEN,
        created_at=now,
        expires_at=expires_at,
    )
    step = InvoiceHistory(
        invoice_id=invoice.id,
        from_status=None,
        to_status=InvoiceStatus.OPEN.value,
        actor=actor,
        at=now,
    )
    return invoice, step


def move_invoice(invoice: Invoice, to: InvoiceStatus, actor: str) -> None:
    """One allowed step of an invoice, by a conditional UPDATE; PaymentNotPending otherwise."""
    sources = [status for status, targets in INVOICE_STEPS.items() if to in targets]
    now = clock.now()
    values: dict[str, Any] = {"status": to}
    if to is InvoiceStatus.PAID:
        values["paid_at"] = now
    before = invoice.status
    done = session().execute(
        update(Invoice)
        .where(Invoice.id == invoice.id, Invoice.status.in_(sources))
        .values(**values)
    )
    if not done.rowcount:  # type: ignore[attr-defined]
        raise PaymentNotPending
    session().add(
        InvoiceHistory(
            invoice_id=invoice.id,
            from_status=before.value,
            to_status=to.value,
            actor=actor,
            at=now,
        )
    )


def move_invoice_if_open(invoice_id: uuid.UUID, to: InvoiceStatus, actor: str) -> None:
    """Close an invoice that nobody has paid; one that was paid or closed stays as it is."""
    invoice = session().get_one(Invoice, invoice_id, populate_existing=True)
    if to in INVOICE_STEPS.get(invoice.status, frozenset()):
        move_invoice(invoice, to, actor)


def reopen_invoice(invoice: Invoice, actor: str) -> None:
    """Its money came late: what had expired is owed, and paid, again. Others stay as they are."""
    session().refresh(invoice)
    if invoice.status is InvoiceStatus.EXPIRED:
        move_invoice(invoice, InvoiceStatus.OPEN, actor)
        session().refresh(invoice)


def move_payment(
    payment: Payment, to: PaymentStatus, actor: str, label: str, reason: str | None = None
) -> None:
    """One allowed step of a payment, once ever: PaymentNotPending for whoever is second."""
    sources = [status for status, targets in PAYMENT_STEPS.items() if to in targets]
    now = clock.now()
    before = payment.status
    done = session().execute(
        update(Payment)
        .where(Payment.id == payment.id, Payment.status.in_(sources))
        .values(status=to, decided_at=now, decided_by=actor, decided_by_label=label, reason=reason)
    )
    if not done.rowcount:  # type: ignore[attr-defined]
        raise PaymentNotPending
    insert_together(_payment_step(payment.id, before, to, actor, reason))


def order_of(
    user_id: int,
    offer: Offer,
    method: Method,
    reused_for: timedelta,
    verify_at: datetime,
    *,
    expires_at: datetime | None = None,
) -> Payment:
    """A pending payment that waits for a provider's word; the same question within `reused_for`
    gives the same one. TooManyIntents for whoever lets one after the other lie. The user must be
    locked."""
    since = clock.now() - reused_for
    found = queries.find_open_order(user_id, method, offer, since)
    if found is not None:
        return found
    if queries.count_open_orders(user_id, method, since) >= MOST_OPEN_ORDERS:
        raise TooManyIntents
    actor = f"user:{user_id}"
    return invoice_and_payment(
        user_id, offer, actor, expires_at=expires_at, method=method, verify_at=verify_at
    )


def open_payment(invoice: Invoice, actor: str, *, method: Method, **columns: Any) -> Payment:
    """A payment of the whole invoice, pending unless `columns` say otherwise. IntegrityError for a
    transaction that is another payment's."""
    payment, step = _new_payment(invoice, actor, method, columns)
    insert_together(payment, step)
    set_committed_value(payment, "invoice", invoice)
    return payment


def invoice_and_payment(
    user_id: int,
    offer: Offer,
    actor: str,
    *,
    method: Method,
    expires_at: datetime | None = None,
    **columns: Any,
) -> Payment:
    """`open_invoice` and `open_payment` together, by one statement."""
    invoice, opened = _new_invoice(user_id, offer, actor, expires_at)
    payment, begun = _new_payment(invoice, actor, method, columns)
    insert_together(invoice, opened, payment, begun)
    set_committed_value(payment, "invoice", invoice)
    return payment


def _new_payment(
    invoice: Invoice, actor: str, method: Method, columns: dict[str, Any]
) -> tuple[Payment, PaymentHistory]:
    values: dict[str, Any] = {
        "id": new_id(),
        "status": PaymentStatus.PENDING,
        "submitted_at": clock.now(),
        **columns,
    }
    payment = Payment(
        invoice_id=invoice.id,
        user_id=invoice.user_id,
        method=method,
        amount=invoice.amount,
        currency=invoice.currency,
        **values,
    )
    return payment, _payment_step(payment.id, None, payment.status, actor)


def _payment_step(
    payment_id: uuid.UUID,
    before: PaymentStatus | None,
    to: PaymentStatus,
    actor: str,
    reason: str | None = None,
) -> PaymentHistory:
    """A history row for a step that is taken now."""
    return PaymentHistory(
        payment_id=payment_id,
        from_status=before.value if before else None,
        to_status=to.value,
        actor=actor,
        reason=reason,
        at=clock.now(),
    )
