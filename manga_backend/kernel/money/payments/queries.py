"""Reads of invoices and payments."""

from __future__ import annotations

import uuid
from typing import Any

from sqlalchemy import ColumnElement, Select, func, select
from sqlalchemy.orm import aliased, joinedload

from manga_backend.kernel.money.chains.settings import ChainSettings
from manga_backend.kernel.money.payments.errors import PaymentNotFound
from manga_backend.kernel.money.payments.models import Payment
from manga_backend.kernel.money.payments.types import PaymentStatus
from manga_backend.kit.db import session
from manga_backend.kit.settings import settings


def get_payment(payment_id: uuid.UUID) -> Payment:
    """With its invoice; PaymentNotFound."""
    payment = session().scalar(
        select(Payment).where(Payment.id == payment_id).options(joinedload(Payment.invoice))
    )
    if payment is None:
        raise PaymentNotFound
    return payment


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


def count_of_user(user_id: int, status: PaymentStatus) -> int:
    """How many payments of a user have this status."""
    return (
        session().scalar(
            select(func.count())
            .select_from(Payment)
            .where(Payment.user_id == user_id, Payment.status == status)
        )
        or 0
    )


def count_submissions(user_id: int, tx_hash: str) -> int:
    """How often this user has sent this hash, whatever became of it."""
    return (
        session().scalar(
            select(func.count())
            .select_from(Payment)
            .where(Payment.tx_hash == tx_hash, Payment.user_id == user_id)
        )
        or 0
    )


def is_taken(tx_hash: str) -> bool:
    """Whether a pending or approved payment of anyone has this hash."""
    found = session().scalar(
        select(Payment.id).where(
            Payment.tx_hash == tx_hash,
            Payment.status.in_((PaymentStatus.PENDING, PaymentStatus.APPROVED)),
        )
    )
    return found is not None


def count_pending() -> int:
    """How many payments wait for a decision."""
    return (
        session().scalar(
            select(func.count()).select_from(Payment).where(Payment.status == PaymentStatus.PENDING)
        )
        or 0
    )


def receiving_addresses() -> dict[str, str]:
    """Network → our address."""
    return {n.value: address for n, address in settings(ChainSettings).addresses.items()}


def with_summary(statement: Select[Any], user_id: ColumnElement[int]) -> Select[Any]:
    """Widens a statement by a user's `purchases_count`, `pending_payments` and the last payment
    (`last_payment_id`, `last_payment_status`, `last_payment_submitted_at`)."""
    newest = aliased(Payment)
    newest_id = (
        select(newest.id)
        .where(newest.user_id == user_id)
        .order_by(newest.id.desc())
        .limit(1)
        .correlate_except(newest)
        .scalar_subquery()
    )
    last = aliased(Payment)
    return statement.add_columns(
        _count(user_id, PaymentStatus.APPROVED).label("purchases_count"),
        _count(user_id, PaymentStatus.PENDING).label("pending_payments"),
        last.id.label("last_payment_id"),
        last.status.label("last_payment_status"),
        last.submitted_at.label("last_payment_submitted_at"),
    ).outerjoin(last, last.id == newest_id)


def _count(user_id: ColumnElement[int], status: PaymentStatus) -> Any:
    counted = aliased(Payment)
    return (
        select(func.count())
        .select_from(counted)
        .where(counted.user_id == user_id, counted.status == status)
        .correlate_except(counted)
        .scalar_subquery()
    )
