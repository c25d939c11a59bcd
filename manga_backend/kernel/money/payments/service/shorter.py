"""Less than the price came: an admin may take it for a shorter plan."""

from __future__ import annotations

import hashlib

from manga_backend.kernel.approvals.types import Option
from manga_backend.kernel.backoffice.types import Actor
from manga_backend.kernel.money.chains.types import Verdict
from manga_backend.kernel.money.payments.models import Payment
from manga_backend.kernel.money.payments.service.booking import received_by
from manga_backend.kernel.money.payments.service.steps import (
    fulfilments,
    item_of,
    move_invoice,
    open_invoice,
)
from manga_backend.kernel.money.payments.service.submit import cheaper_offers
from manga_backend.kernel.money.payments.types import InvoiceStatus, Item, Offer, PaymentStatus
from manga_backend.kit.db import session
from manga_backend.kit.i18n import gettext
from manga_backend.kit.money import Money


def find_shorter(payment: Payment) -> Offer | None:
    """What the money that came is enough for, when it is not enough for what was asked for. None
    as long as the chain was not read to the end."""
    seen = payment.verification or {}
    came = received_by(payment)
    is_open = payment.status is PaymentStatus.PENDING
    if not is_open or came is None or seen["verdict"] != Verdict.TOO_LITTLE:
        return None
    return cheaper_offers["plan"](payment.invoice.item_code, Money(came, payment.currency))


def option_of(payment: Payment, offer: Offer) -> Option:
    """The button; its key is another one as soon as the offer is."""
    item = Item(payment.user_id, offer.product, offer.code, offer.title, offer.item)
    name = fulfilments[offer.fulfilment].facts(item)[0][1]
    price = offer.price.with_currency
    label = gettext("Take it for %(plan)s (%(price)s)", plan=name, price=price)
    what = repr((offer.code, offer.price, sorted(offer.item.items())))
    return Option(hashlib.sha256(what.encode()).hexdigest()[:16], label)


def exchange(payment: Payment, offer: Offer, actor: Actor) -> None:
    """The payment is for this offer now: its invoice is cancelled and another one opened. What
    exceeds the new price goes to the wallet when it is booked."""
    move_invoice(payment.invoice, InvoiceStatus.CANCELLED, actor.key)
    invoice = open_invoice(payment.user_id, offer, actor.key)
    payment.invoice_id = invoice.id
    payment.invoice = invoice
    payment.amount = invoice.amount
    session().flush()


def plan_of(payment: Payment) -> str:
    """What the payment is for, in the language of the moment."""
    invoice = payment.invoice
    return fulfilments[invoice.fulfilment].facts(item_of(invoice))[0][1]
