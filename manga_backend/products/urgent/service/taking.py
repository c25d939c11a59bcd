"""Paying to see the contact of an order."""

from __future__ import annotations

from dataclasses import dataclass

from manga_backend.kernel.money.ledger.errors import NotEnoughMoney
from manga_backend.kernel.money.ledger.queries import find_wallet
from manga_backend.kit import clock
from manga_backend.kit.db import session
from manga_backend.products.urgent import messages, queries
from manga_backend.products.urgent.domain import average, is_open
from manga_backend.products.urgent.errors import (
    InsufficientBalance,
    MaxExecutors,
    OrderNotActive,
    OwnOrder,
)
from manga_backend.products.urgent.models import Order, Take
from manga_backend.products.urgent.service.steps import lock_order, note_change, pay_for, tell
from manga_backend.products.urgent.types import CURRENCY, MAX_EXECUTORS, RUBLE, TAKE_PRICE


@dataclass(frozen=True, slots=True)
class Taken:
    """What an executor paid for; `balance` in whole rubles."""

    order: Order
    balance: int


def take_order(executor_id: int, order_id: str) -> Taken:
    """Pay TAKE_PRICE from the wallet and see the contact, in one transaction.

    Refusals: OrderNotFound, OwnOrder, OrderNotActive, MaxExecutors, InsufficientBalance. Locks the
    order, then the wallet: of any number at once three take it. An executor who has it already gets
    the same answer and pays nothing, whatever has become of the order, unless the money came back.
    """
    order = lock_order(order_id)
    take = queries.find_take(order.id, executor_id)
    if take is None or take.refunded_at is not None:
        _take(order, executor_id, already_refunded=take is not None)
    return Taken(order, balance_of(executor_id))


def _take(order: Order, executor_id: int, *, already_refunded: bool) -> None:
    if order.client_id == executor_id:
        raise OwnOrder
    now = clock.now()
    if already_refunded or not is_open(order, now):
        raise OrderNotActive
    if order.executors_count >= MAX_EXECUTORS:
        raise MaxExecutors
    take = Take(order_id=order.id, executor_id=executor_id, price=TAKE_PRICE, taken_at=now)
    session().add(take)
    session().flush()
    try:
        pay_for(take)
    except NotEnoughMoney:
        raise InsufficientBalance from None
    order.executors_count += 1
    if order.first_taken_at is None:
        order.first_taken_at = now
    note_change(order, now)
    known = queries.persons([executor_id, order.client_id])  # who is told is at hand then
    executor = known[executor_id]
    profile = queries.find_profile(executor_id)
    tell(
        order.client_id,
        messages.TAKEN_BY,
        "urgent_taken",
        order,
        messages.answer_buttons(take.id, executor.first_name),
        executor=executor,
        rating=average(profile.rating_sum, profile.ratings_count),
        completed=profile.completed_orders_count,
        is_first=order.executors_count == 1,
    )


def balance_of(user_id: int) -> int:
    """What may be spent, in whole rubles."""
    return find_wallet(user_id, CURRENCY).available // RUBLE
