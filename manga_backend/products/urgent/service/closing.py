"""Orders that close by themselves."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import ColumnElement, delete, select

from manga_backend.kernel.identity.events import UserBanned
from manga_backend.kit import clock
from manga_backend.kit.db import session
from manga_backend.products.urgent import messages, queries
from manga_backend.products.urgent.domain import status_at
from manga_backend.products.urgent.models import Order, OrderChange
from manga_backend.products.urgent.service.steps import (
    end_for_executors,
    move_order,
    refund_takes,
    takes_of,
    tell,
)
from manga_backend.products.urgent.types import ANSWER_WITHIN, LIFETIME, OrderStatus

KEEP_CHANGES = timedelta(hours=2)


def close_expired(limit: int) -> int:
    """Orders that nobody took, or whose client answered, expire after their hour; returns how many.
    Locks them, skipping those that others hold. May run twice and at once."""
    return _close_all(
        Order.created_at <= clock.now() - LIFETIME,
        Order.first_taken_at.is_(None) | Order.answered_at.is_not(None),
        limit=limit,
    )


def close_silent() -> int:
    """One order whose client was silent for 15 minutes after the first take, even past its hour:
    every executor gets the money back. 0 when there is none. May run twice and at once."""
    return _close_all(
        Order.first_taken_at <= clock.now() - ANSWER_WITHIN,
        Order.first_taken_at.is_not(None),
        Order.answered_at.is_(None),
        limit=1,  # its wallets are locked together, in their order
    )


def _close_all(*due: ColumnElement[bool], limit: int) -> int:
    found = _claim(due, limit)
    for order in found:
        _close(order)
    return len(found)


def _claim(due: Sequence[ColumnElement[bool]], limit: int) -> list[Order]:
    return list(
        session().scalars(
            select(Order)
            .where(Order.status == OrderStatus.ACTIVE, *due)
            .order_by(Order.created_at)
            .limit(limit)
            .with_for_update(skip_locked=True)
            .execution_options(populate_existing=True)
        )
    )


def _close(order: Order) -> None:
    to = status_at(order, clock.now())
    move_order(order, to)
    if to is OrderStatus.CLOSED_NO_RESPONSE:
        refund_takes(takes_of([order]), messages.CLIENT_SILENT)
        tell(order.client_id, messages.CLOSED, "urgent_closed", order)
    elif order.executors_count:
        takes = [t for t in queries.list_takes([order.id])[order.id] if t.refunded_at is None]
        people = queries.persons([take.executor_id for take in takes])
        buttons = messages.done_buttons([(t.id, people[t.executor_id].first_name) for t in takes])
        tell(order.client_id, messages.WHO_DID_IT, "urgent_who_did_it", order, buttons)
    else:
        tell(order.client_id, messages.NOBODY_CAME, "urgent_expired", order)


def close_orders_of(event: UserBanned) -> None:
    """What a banned client asked for is nobody's business any more: executors who were not answered
    get their money back. In the transaction of the ban. Locks the orders."""
    found = session().scalars(
        select(Order)
        .where(Order.client_id == event.user_id, Order.status == OrderStatus.ACTIVE)
        .order_by(Order.created_at)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    ended = list(found)
    for order in ended:
        move_order(order, OrderStatus.DELETED)
    end_for_executors(ended, messages.CLIENT_BANNED)


def forget_changes() -> None:
    """Those that no listener can ask for any more."""
    gone = delete(OrderChange).where(OrderChange.at < clock.now() - KEEP_CHANGES)
    session().execute(gone)
