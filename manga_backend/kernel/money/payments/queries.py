"""Reads of invoices and payments."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Collection
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    ColumnElement,
    RowMapping,
    ScalarSelect,
    Select,
    Uuid,
    and_,
    bindparam,
    exists,
    func,
    or_,
    select,
    type_coerce,
)
from sqlalchemy.orm import InstrumentedAttribute, aliased, contains_eager, joinedload

from manga_backend.kernel.money.chains import queries as chains
from manga_backend.kernel.money.chains.types import Chain, Incoming, Network
from manga_backend.kernel.money.payments.errors import (
    IntentNotFound,
    InvoiceNotFound,
    PaymentNotFound,
)
from manga_backend.kernel.money.payments.models import (
    ChainCursor,
    ChainTransfer,
    Invoice,
    Payment,
    PaymentIntent,
    StarsRefund,
)
from manga_backend.kernel.money.payments.types import IntentStatus, Method, Offer, PaymentStatus
from manga_backend.kit import clock
from manga_backend.kit.db import session

DECIDED = (PaymentStatus.APPROVED, PaymentStatus.REJECTED)
LIVE = (PaymentStatus.PENDING, PaymentStatus.APPROVED)
CLOCKS_DIFFER = timedelta(seconds=60)
"""Blocks bear the time of whoever made them."""
AMOUNT_RESTS = timedelta(hours=24)
"""So long no other intent gets the amount: a late transfer must still name its payer."""
LATE_WITHIN = timedelta(days=7)


_UserId = ColumnElement[int] | InstrumentedAttribute[int]


def get_payment(payment_id: uuid.UUID) -> Payment:
    """With its invoice, as it stands in the database now; PaymentNotFound."""
    payment = session().scalar(
        select(Payment)
        .where(Payment.id == payment_id)
        .options(joinedload(Payment.invoice))
        .execution_options(populate_existing=True)
    )
    if payment is None:
        raise PaymentNotFound
    return payment


def list_with_purchases(payment_ids: Collection[uuid.UUID]) -> list[tuple[Payment, int]]:
    """With their invoices, as they stand in the database now; and how many payments of the same
    user were approved."""
    rows = session().execute(_WITH_PURCHASES, {"payment_ids": list(payment_ids)})
    return [(row[0], row[1]) for row in rows]


def get_own_payment(user_id: int, payment_id: uuid.UUID) -> Payment:
    """A payment of this user; PaymentNotFound for another's as well."""
    payment = get_payment(payment_id)
    if payment.user_id != user_id:
        raise PaymentNotFound
    return payment


def own_payments(user_id: int) -> Select[Any]:
    """A user's payments with their invoices, newest first."""
    return (
        select(Payment)
        .where(Payment.user_id == user_id)
        .options(joinedload(Payment.invoice))
        .order_by(Payment.id.desc())
    )


def _waits(payment: Any) -> ColumnElement[bool]:
    """For a person's decision: a hash, or what a provider brought too little of. An invoice that
    nobody has paid yet asks for nothing."""
    is_asked = or_(
        payment.method == Method.CRYPTO,
        and_(
            payment.method == Method.GATEWAY,
            payment.verification["verdict"].as_string().is_not(None),
        ),
    )
    return and_(payment.status == PaymentStatus.PENDING, is_asked)


def count_purchases(user_id: int) -> int:
    """How many payments of a user were approved."""
    approved = (Payment.user_id == user_id) & (Payment.status == PaymentStatus.APPROVED)
    return _count_where(approved)


def count_waiting(user_id: int) -> int:
    """How many payments of a user wait for a decision."""
    return _count_where((Payment.user_id == user_id) & _waits(Payment))


def count_open_orders(user_id: int, method: Method, since: datetime) -> int:
    """How many invoices by a method nobody has paid yet, of those that were made since."""
    return _count_where(
        and_(
            Payment.user_id == user_id,
            Payment.method == method,
            Payment.status == PaymentStatus.PENDING,
            Payment.submitted_at >= since,
        )
    )


def _count_where(which: ColumnElement[bool]) -> int:
    return session().scalar(select(func.count()).select_from(Payment).where(which)) or 0


def standing_of(user_id: int, tx_hash: str) -> RowMapping:
    """Before a hash is taken as a payment: `is_taken` (a pending or approved payment of anyone has
    it), `sent_before` (how often this user has sent it, whatever became of it) and `waiting` (how
    many payments of this user wait for a decision)."""
    return session().execute(_STANDING, {"user": user_id, "hash": tx_hash}).mappings().one()


def count_pending() -> ScalarSelect[int]:
    """How many payments wait for a decision, as a piece of a statement."""
    return select(func.count()).select_from(Payment).where(_waits(Payment)).scalar_subquery()


def receiving_addresses() -> dict[str, str]:
    """Network → our address."""
    return {network.value: address for network, address in chains.addresses().items()}


def with_summary(statement: Select[Any], user_id: ColumnElement[int]) -> Select[Any]:
    """Widens a statement by a user's `purchases_count`, `pending_payments` and the last payment
    (`last_payment_id` as text, `last_payment_status`, `last_payment_submitted_at`), of invoices
    that nobody paid left aside."""
    newest = aliased(Payment)
    newest_id = (
        select(newest.id)
        .where(
            newest.user_id == user_id,
            or_(newest.status.in_(DECIDED), newest.method == Method.CRYPTO, _waits(newest)),
        )
        .order_by(newest.id.desc())
        .limit(1)
        .correlate_except(newest)
        .scalar_subquery()
    )
    last = aliased(Payment)
    return statement.add_columns(
        _count(user_id, lambda one: one.status == PaymentStatus.APPROVED).label("purchases_count"),
        _count(user_id, _waits).label("pending_payments"),
        type_coerce(last.id, Uuid(as_uuid=False)).label("last_payment_id"),
        last.status.label("last_payment_status"),
        last.submitted_at.label("last_payment_submitted_at"),
    ).outerjoin(last, last.id == newest_id)


def _count(user_id: _UserId, which: Callable[[Any], ColumnElement[bool]]) -> Any:
    counted = aliased(Payment)
    return (
        select(func.count())
        .select_from(counted)
        .where(counted.user_id == user_id, which(counted))
        .correlate_except(counted)
        .scalar_subquery()
    )


# ---- intents and the chain -------------------------------------------------------------------


def is_any_to_verify() -> bool:
    """Whether a pending payment's time to be asked about has come: one cheap statement."""
    due = select(Payment.id).where(
        Payment.status == PaymentStatus.PENDING,
        Payment.method == Method.CRYPTO,
        Payment.verify_at <= clock.now(),
    )
    return session().scalar(due.limit(1)) is not None


def get_own_intent(user_id: int, intent_id: uuid.UUID) -> PaymentIntent:
    """With its invoice; IntentNotFound for another's as well."""
    intent = session().scalar(
        select(PaymentIntent)
        .where(PaymentIntent.id == intent_id, PaymentIntent.user_id == user_id)
        .options(joinedload(PaymentIntent.invoice))
    )
    if intent is None:
        raise IntentNotFound
    return intent


def find_payment_of_intent(intent_id: uuid.UUID) -> Payment | None:
    """The newest one that its transfer made."""
    return session().scalar(
        select(Payment).where(Payment.intent_id == intent_id).order_by(Payment.id.desc()).limit(1)
    )


def list_open_intents(user_id: int) -> list[PaymentIntent]:
    """With their invoices."""
    return list(
        session().scalars(
            select(PaymentIntent)
            .where(PaymentIntent.user_id == user_id, PaymentIntent.status == IntentStatus.OPEN)
            .options(joinedload(PaymentIntent.invoice))
            .order_by(PaymentIntent.id)
        )
    )


def is_amount_taken(network: Network, amount: int, now: datetime) -> bool:
    """Whether an intent of the last day has this amount on this network."""
    found = session().scalar(
        select(PaymentIntent.id)
        .where(
            PaymentIntent.network == network,
            PaymentIntent.amount == amount,
            PaymentIntent.created_at > now - AMOUNT_RESTS,
        )
        .limit(1)
    )
    return found is not None


def find_intent_of_amount(
    network: Network, amount: int, block_time: datetime, address: str | None = None
) -> PaymentIntent | None:
    """Whose promise a transfer of this amount keeps: made before it, the newest first, open or
    over. A settled one has had its money. `address`: only promises to pay there."""
    wanted = (
        select(PaymentIntent)
        .where(
            PaymentIntent.network == network,
            PaymentIntent.amount == amount,
            PaymentIntent.status.in_((IntentStatus.OPEN, IntentStatus.EXPIRED)),
            PaymentIntent.created_at <= block_time + CLOCKS_DIFFER,
            PaymentIntent.expires_at >= block_time - LATE_WITHIN,
        )
        .order_by(PaymentIntent.created_at.desc())
        .limit(1)
    )
    if address is not None:
        wanted = wanted.where(PaymentIntent.address == address)
    return session().scalar(wanted)


def find_live_payment(tx_hash: str) -> Payment | None:
    """The pending or approved payment of anyone that has this hash."""
    return session().scalar(
        select(Payment).where(Payment.tx_hash == tx_hash, Payment.status.in_(LIVE))
    )


def is_claim_of_another(payment: Payment, amount: int, block_time: datetime) -> bool:
    """Whether a pending payment by hash claims what keeps somebody else's promise."""
    if payment.network is None or payment.status is not PaymentStatus.PENDING:
        return False
    owner = find_intent_of_amount(payment.network, amount, block_time)
    return owner is not None and owner.user_id != payment.user_id


def list_watched() -> list[tuple[Network, str]]:
    """Networks and our addresses, of now or of before, to which somebody may pay an intent now or
    paid lately."""
    recent = clock.now() - AMOUNT_RESTS
    rows = session().execute(
        select(PaymentIntent.network, PaymentIntent.address)
        .where(
            or_(
                PaymentIntent.status == IntentStatus.OPEN,
                and_(
                    PaymentIntent.status == IntentStatus.EXPIRED, PaymentIntent.created_at > recent
                ),
            )
        )
        .distinct()
    )
    return [(row.network, row.address) for row in rows]


def find_cursor(chain: Chain) -> str | None:
    """How far our address was read; None for one that was never read."""
    found = session().get(ChainCursor, (chain.network, chain.address))
    return found.cursor or None if found else None


def list_chain_problems() -> list[tuple[str, str]]:
    """Network and what keeps us from reading it."""
    rows = session().execute(
        select(ChainCursor.network, ChainCursor.problem).where(ChainCursor.problem.is_not(None))
    )
    return [(row[0].value, row[1] or "") for row in rows]


def as_incoming(arrived: ChainTransfer) -> Incoming:
    """As it was read from the chain."""
    return Incoming(arrived.tx_hash, arrived.log_index, arrived.sender, int(arrived.raw_amount))


def find_open_order(user_id: int, method: Method, offer: Offer, since: datetime) -> Payment | None:
    """A user's newest pending payment by a method for exactly this at exactly this price, with its
    invoice."""
    newest = session().scalar(
        select(Payment)
        .join(Invoice, Invoice.id == Payment.invoice_id)
        .options(contains_eager(Payment.invoice))
        .where(
            Payment.user_id == user_id,
            Payment.status == PaymentStatus.PENDING,
            Payment.method == method,
            Payment.submitted_at >= since,
            Invoice.item_code == offer.code,
            Payment.amount == offer.price.amount,
            Payment.currency == offer.price.currency,
        )
        .order_by(Payment.id.desc())
        .limit(1)
    )
    return newest if newest is not None and newest.invoice.item == offer.item else None


def find_refund(payment: Payment) -> StarsRefund | None:
    """Of what a payment in Stars bought; a surplus is none."""
    return session().scalar(
        select(StarsRefund).where(
            StarsRefund.payment_id == payment.id, StarsRefund.is_surplus.is_(False)
        )
    )


def list_refunds(payment_id: uuid.UUID) -> list[StarsRefund]:
    """What was to be given back of a payment in Stars, surplus or not."""
    return list(
        session().scalars(
            select(StarsRefund)
            .where(StarsRefund.payment_id == payment_id)
            .order_by(StarsRefund.requested_at)
        )
    )


def find_refused_refund(payment_id: uuid.UUID, charge_id: str) -> StarsRefund | None:
    """Of a payment in Stars, surplus or not: what Telegram would not give back."""
    found = session().get(StarsRefund, charge_id, populate_existing=True)
    if found is None or found.payment_id != payment_id or not found.is_refused:
        return None
    return found


def get_own_invoice(user_id: int, invoice_id: uuid.UUID) -> Invoice:
    """InvoiceNotFound for another's as well."""
    invoice = session().get(Invoice, invoice_id)
    if invoice is None or invoice.user_id != user_id:
        raise InvoiceNotFound
    return invoice


def find_settling_payment(invoice_id: uuid.UUID) -> Payment | None:
    """The approved payment of an invoice; there is at most one."""
    return session().scalar(
        select(Payment)
        .where(Payment.invoice_id == invoice_id, Payment.status == PaymentStatus.APPROVED)
        .options(joinedload(Payment.invoice))
    )


def own_invoices(user_id: int) -> Select[Any]:
    """A user's invoices, newest first."""
    return select(Invoice).where(Invoice.user_id == user_id).order_by(Invoice.id.desc())


_WITH_PURCHASES = (
    select(
        Payment,
        _count(Payment.user_id, lambda one: one.status == PaymentStatus.APPROVED),
    )
    .where(Payment.id.in_(bindparam("payment_ids", expanding=True)))
    .options(joinedload(Payment.invoice))
    .execution_options(populate_existing=True)
)
_STANDING = select(
    exists()
    .where(Payment.tx_hash == bindparam("hash"), Payment.status.in_(LIVE))
    .label("is_taken"),
    select(func.count())
    .where(Payment.tx_hash == bindparam("hash"), Payment.user_id == bindparam("user"))
    .scalar_subquery()
    .label("sent_before"),
    select(func.count())
    .where(Payment.user_id == bindparam("user"), _waits(Payment))
    .scalar_subquery()
    .label("waiting"),
)
