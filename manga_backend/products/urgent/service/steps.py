"""The only way in which orders change their status, and money goes back for a take."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, select, update

from manga_backend.kernel.identity.queries import get_contact
from manga_backend.kernel.money.ledger.service import own_account, transfer, wallet_account
from manga_backend.kernel.money.ledger.types import AccountKind, Move, TransferKind
from manga_backend.kernel.notifications.queries import list_with_buttons
from manga_backend.kernel.notifications.service.edits import edit_anew
from manga_backend.kernel.notifications.service.outbox import notify_user
from manga_backend.kernel.notifications.types import Priority
from manga_backend.kernel.statistics.service import count
from manga_backend.kernel.statistics.types import Metric
from manga_backend.kernel.telegram.types import Button, Message
from manga_backend.kit import clock
from manga_backend.kit.db import session
from manga_backend.kit.i18n import render
from manga_backend.products.urgent import messages, queries
from manga_backend.products.urgent.errors import OrderNotActive, OrderNotFound
from manga_backend.products.urgent.models import ORDER_STEPS, Order, OrderChange, Take
from manga_backend.products.urgent.service.profiles import count_rating
from manga_backend.products.urgent.types import CURRENCY, PRODUCT, OrderStatus

ABOUT = "order:"
"""With what the subjects of transfers begin, before the order's id."""


_LOCKED = (
    select(Order)
    .where(Order.id == bindparam("wanted"))
    .with_for_update()
    .execution_options(populate_existing=True)
)


def lock_order(order_id: str) -> Order:
    """The order as it stands now, held until the transaction ends: whoever changes it or its takes
    holds it first. OrderNotFound."""
    found = session().scalar(_LOCKED, {"wanted": order_id})
    if found is None:
        raise OrderNotFound
    return found


def note_change(order: Order, now: datetime) -> None:
    """Everybody who watches the list must hear of it."""
    order.changed_at = now
    session().add(OrderChange(order_id=order.id, at=now))
    session().flush()


def move_order(order: Order, to: OrderStatus, **also: Any) -> None:
    """One allowed step of a locked order, with what changes along with it, by a conditional UPDATE;
    OrderNotActive otherwise."""
    sources = [status for status, targets in ORDER_STEPS.items() if to in targets]
    now = clock.now()
    done = session().execute(
        update(Order)
        .where(Order.id == order.id, Order.status.in_(sources))
        .values(status=to, **also)
        .execution_options(synchronize_session=False)
    )
    if not done.rowcount:  # type: ignore[attr-defined]
        raise OrderNotActive
    session().refresh(order)
    note_change(order, now)
    if order.executors_count:
        renew_buttons(order)
    count(Metric.FACTS, label=messages.FACT_OF_STATUS[to], at=now)


def pay_for(take: Take) -> None:
    """The price leaves the executor's wallet, once for each take. NotEnoughMoney."""
    subject = subject_of(take)
    transfer(
        [
            Move(
                kind=TransferKind.SALE,
                debit_account_id=wallet_account(take.executor_id, CURRENCY),
                credit_account_id=own_account(AccountKind.REVENUE, PRODUCT, CURRENCY, subject),
                amount=take.price,
                currency=CURRENCY,
                key=_key_of(take),
                subject=subject,
            )
        ]
    )
    count(Metric.REVENUE, take.price, label=CURRENCY, at=take.taken_at)
    count(Metric.FACTS, label=messages.TAKEN, at=take.taken_at)


def refund_takes(takes: Collection[tuple[Order, Take]], reason: str) -> None:
    """Give the price back to those who have not got it back already, once each, and tell them why
    (a key of messages.REFUND_REASONS). The orders must be locked; locks all wallets together."""
    due = [(order, take) for order, take in takes if take.refunded_at is None]
    if not due:
        return
    now = clock.now()
    transfer([_back(take, reason) for _, take in due])
    _unrate(due)
    for order, take in due:
        take.refunded_at = now
        count(Metric.REVENUE, -take.price, label=CURRENCY, at=now)
        tell(
            take.executor_id,
            messages.REFUNDED,
            "urgent_refunded",
            order,
            price=take.price,
            reason=messages.REFUND_REASONS[reason],
        )
    session().flush()


def _unrate(refunded: Collection[tuple[Order, Take]]) -> None:
    """Whoever got the money back had no deal with the client: what the client said of them does not
    count."""
    pairs = {(take.order_id, take.executor_id) for _, take in refunded}
    for review in queries.shown_reviews([order_id for order_id, _ in pairs]):
        if (review.order_id, review.executor_id) in pairs:
            review.hidden_at, review.hidden_reason = clock.now(), messages.MONEY_BACK
            count_rating(review.executor_id, review.rating, times=-1)


def end_for_executors(orders: Sequence[Order], reason: str) -> None:
    """Of orders that were ended from outside: whoever was not answered gets the money back, the
    others hear of it."""
    unanswered = [pair for pair in takes_of(orders) if pair[1].answered_at is None]
    refund_takes(unanswered, reason)
    for order in orders:
        tell_over(order, messages.REFUND_REASONS[reason])


def tell_over(order: Order, words: str, *, but: int | None = None) -> None:
    """Executors who have paid and got nothing back."""
    for _, take in takes_of([order]):
        if take.refunded_at is None and take.executor_id != but:
            tell(take.executor_id, messages.OVER, "urgent_over", order, words=words)


def takes_of(orders: Sequence[Order]) -> list[tuple[Order, Take]]:
    """Each take of these orders with its order; one query."""
    found = queries.list_takes([order.id for order in orders])
    return [(order, take) for order in orders for take in found[order.id]]


def _back(take: Take, reason: str) -> Move:
    subject = subject_of(take)
    return Move(
        kind=TransferKind.REFUND,
        debit_account_id=own_account(AccountKind.REVENUE, PRODUCT, CURRENCY, subject),
        credit_account_id=wallet_account(take.executor_id, CURRENCY),
        amount=take.price,
        currency=CURRENCY,
        key=f"{_key_of(take)}:refund",
        subject=subject,
        note=reason,
    )


def renew_buttons(order: Order, take: Take | None = None) -> None:
    """Below what the client was told of this order: of a take that was answered, that it is done;
    without one all buttons go, for the order is over."""
    for told in list_with_buttons(_subject(order)):
        if take is None:
            edit_anew(told, Message(told.text))
        elif messages.has_button(told.buttons, messages.ANSWER_PRESS, take.id):
            name = queries.persons([take.executor_id])[take.executor_id].first_name
            rows = messages.done_buttons([(take.id, name)])(told.language)
            edit_anew(told, Message(told.text, rows))


def _subject(order: Order) -> str:
    return f"urgent:{order.id}"


def subject_of(take: Take) -> str:
    """What its transfers are about."""
    return f"{ABOUT}{take.order_id}:take:{take.id}"


def _key_of(take: Take) -> str:
    return f"take:{take.id}"


def tell(
    user_id: int,
    template: str,
    kind: str,
    order: Order,
    buttons: messages.Buttons | None = None,
    **context: object,
) -> None:
    """One person of an order, in their language. Nothing that is told holds the contact: it can't
    be taken back when the money is."""
    contact = get_contact(user_id)
    text = render(template, contact.language, order=order, **context)
    rows: list[list[Button]] = buttons(contact.language) if buttons else []
    notify_user(
        contact,
        Message(text, rows),
        kind=kind,
        subject=_subject(order),
        priority=Priority.DECISION,
    )
