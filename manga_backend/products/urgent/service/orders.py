"""What a client does with an order before and while executors have it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from manga_backend.kernel.backoffice.service import record_audit
from manga_backend.kernel.backoffice.types import Actor
from manga_backend.kernel.identity.errors import Banned
from manga_backend.kernel.identity.service.sessions import lock_user
from manga_backend.kernel.statistics.service import count
from manga_backend.kernel.statistics.types import Metric
from manga_backend.kit import clock
from manga_backend.kit.db import session
from manga_backend.kit.jobs import wake
from manga_backend.kit.settings import CoreSettings, settings
from manga_backend.products.urgent import messages, queries
from manga_backend.products.urgent.domain import is_completable, key_of, new_order_id, status_at
from manga_backend.products.urgent.errors import (
    CityLocked,
    ExecutorNeeded,
    NotAnExecutor,
    NotOwnOrder,
    OrderNotActive,
    OrderTaken,
    TooManyOrders,
)
from manga_backend.products.urgent.models import Order, Take
from manga_backend.products.urgent.service.profiles import count_completed
from manga_backend.products.urgent.service.steps import (
    end_for_executors,
    lock_order,
    move_order,
    note_change,
    refund_takes,
    renew_buttons,
    takes_of,
    tell,
    tell_over,
)
from manga_backend.products.urgent.types import (
    LIFETIME,
    ORDERS_PER_HOUR,
    OrderDraft,
    OrderStatus,
)

TELL = "urgent.tell"
HOUR = timedelta(hours=1)


def post_order(client_id: int, draft: OrderDraft) -> Order:
    """A new order, for free; executors who follow its category and city are told soon.

    TooManyOrders above ORDERS_PER_HOUR, Banned. Locks the client. Run twice it posts twice: callers
    send an Idempotency-Key.
    """
    if lock_user(client_id).banned_at is not None:  # while the request was on its way
        raise Banned
    now = clock.now()
    if settings(CoreSettings).ratelimit_enabled:
        recent = queries.newest_since(client_id, now - HOUR)
        if len(recent) >= ORDERS_PER_HOUR:
            wait = recent[-ORDERS_PER_HOUR] + HOUR - now
            raise TooManyOrders(int(wait.total_seconds()) + 1)
    order = Order(
        id=new_order_id(),
        client_id=client_id,
        category=draft.category,
        category_key=key_of(draft.category),
        description=draft.description,
        city=draft.city,
        city_key=key_of(draft.city),
        contact=draft.contact,
        status=OrderStatus.ACTIVE,
        executors_count=0,
        created_at=now,
        expires_at=now + LIFETIME,
        changed_at=now,
        told_upto=0,
    )
    session().add(order)
    session().flush()
    note_change(order, now)
    count(Metric.FACTS, label=messages.POSTED, at=now)
    wake(TELL)
    return order


def change_order(client_id: int, order_id: str, changes: Mapping[str, str]) -> Order:
    """Other texts, before anyone took it. OrderNotFound, NotOwnOrder, OrderNotActive, OrderTaken,
    CityLocked. Locks the order. May run twice."""
    order = _own(client_id, order_id)
    _require_untaken(order)
    if "city" in changes and key_of(changes["city"]) != order.city_key:
        raise CityLocked
    before = (order.category, order.description, order.contact)
    for name in ("category", "description", "contact"):
        setattr(order, name, changes.get(name, getattr(order, name)))
    if (order.category, order.description, order.contact) != before:
        order.category_key = key_of(order.category)
        session().flush()
        note_change(order, clock.now())
    return order


def delete_order(client_id: int, order_id: str) -> None:
    """Before anyone took it. OrderNotFound, NotOwnOrder, OrderNotActive, OrderTaken. Locks the
    order."""
    order = _own(client_id, order_id)
    _require_untaken(order)
    move_order(order, OrderStatus.DELETED)


def answer_executor(client_id: int, order_id: str, executor_id: int) -> Order:
    """The client got in touch with this executor, who hears of it; the order is no longer closed
    for silence. OrderNotFound, NotOwnOrder, OrderNotActive, NotAnExecutor. Locks the order. May run
    twice."""
    order = _own(client_id, order_id)
    take = _take_of(order, executor_id)
    now = clock.now()
    if take.answered_at is not None:
        return order
    if status_at(order, now) is not OrderStatus.ACTIVE:
        raise OrderNotActive
    _answered(order, take)
    return order


def complete_order(client_id: int, order_id: str, executor_id: int) -> Order:
    """This executor did it: one more in their profile. While the order is active, and for a day
    after its hour if the client had answered. OrderNotFound, NotOwnOrder, OrderNotActive,
    NotAnExecutor. Locks the order and the profile. For the same executor it may run twice."""
    order = _own(client_id, order_id)
    take = _take_of(order, executor_id)
    if order.completed_by == executor_id:
        return order
    if not is_completable(order, clock.now()):
        raise OrderNotActive
    if take.answered_at is None:
        _answered(order, take)
    move_order(order, OrderStatus.COMPLETED, completed_by=executor_id)
    count_completed(executor_id)
    tell(executor_id, messages.COMPLETED, "urgent_completed", order)
    tell_over(order, messages.DONE_BY_ANOTHER, but=executor_id)
    return order


def close_order(client_id: int, order_id: str) -> Order:
    """Early, by the client. If it was taken and nobody was answered, executors get their money
    back. OrderNotFound, NotOwnOrder, OrderNotActive. Locks the order."""
    order = _own(client_id, order_id)
    if status_at(order, clock.now()) is not OrderStatus.ACTIVE:
        raise OrderNotActive
    move_order(order, OrderStatus.DELETED)
    if order.answered_at is None:
        refund_takes(takes_of([order]), messages.CLOSED_BY_CLIENT)
    else:
        tell_over(order, messages.CLOSED_ANYHOW)
    return order


def close_for_all(order_id: str, actor: Actor, reason: str) -> Order:
    """By an admin, an order that should not stand there: whoever was not answered gets the money
    back. OrderNotFound, OrderNotActive. Locks the order. Audited."""
    order = lock_order(order_id)
    move_order(order, OrderStatus.DELETED)
    end_for_executors([order], messages.BY_ADMIN)
    words = messages.REFUND_REASONS[messages.BY_ADMIN]
    tell(order.client_id, messages.OVER, "urgent_over", order, words=words)
    what = {"category": order.category, "description": order.description, "reason": reason}
    record_audit(actor, "urgent.order_closed", "urgent_order", order.id, after=what)
    return order


def chosen_executor(order_id: str, telegram_id: int | None) -> int:
    """Our own key of who is meant: the one with this Telegram id, or who did the order, or the only
    one who took it. OrderNotFound, NotAnExecutor, ExecutorNeeded."""
    if telegram_id is not None:
        found = queries.find_executor_id(telegram_id)
        if found is None:
            raise NotAnExecutor
        return found
    done_by = queries.get_order(order_id).completed_by
    if done_by is not None:
        return done_by
    takes = [t for t in queries.list_takes([order_id])[order_id] if t.refunded_at is None]
    if not takes:
        raise NotAnExecutor
    if len(takes) > 1:
        raise ExecutorNeeded
    return takes[0].executor_id


def own_order(client_id: int, order_id: str) -> Order:
    """OrderNotFound, NotOwnOrder."""
    order = queries.get_order(order_id)
    if order.client_id != client_id:
        raise NotOwnOrder
    return order


def _own(client_id: int, order_id: str) -> Order:
    order = lock_order(order_id)
    if order.client_id != client_id:
        raise NotOwnOrder
    return order


def _require_untaken(order: Order) -> None:
    if status_at(order, clock.now()) is not OrderStatus.ACTIVE:
        raise OrderNotActive
    if order.executors_count:
        raise OrderTaken


def _take_of(order: Order, executor_id: int) -> Take:
    take = queries.find_take(order.id, executor_id)
    if take is None or take.refunded_at is not None:
        raise NotAnExecutor
    return take


def _answered(order: Order, take: Take) -> None:
    now = clock.now()
    take.answered_at = now
    if order.answered_at is None:
        order.answered_at = now
    session().flush()
    note_change(order, now)
    renew_buttons(order, take)
    tell(take.executor_id, messages.ANSWERED, "urgent_answered", order)
