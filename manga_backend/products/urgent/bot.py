"""/orders, /myorders and the buttons below what clients are told."""

from __future__ import annotations

from typing import Any

from manga_backend.kernel.identity.errors import Banned
from manga_backend.kernel.identity.queries import find_user_by_verified_telegram_id
from manga_backend.kernel.telegram.types import Command, Message, Press
from manga_backend.kit import clock
from manga_backend.kit.db import session
from manga_backend.kit.i18n import gettext, language, render
from manga_backend.kit.settings import CoreSettings, settings
from manga_backend.products.urgent import messages, queries
from manga_backend.products.urgent.domain import minutes_left, status_at
from manga_backend.products.urgent.errors import NoAccountYet, NotAnExecutor, OrderNotFound
from manga_backend.products.urgent.models import Order, Take
from manga_backend.products.urgent.service import orders as service
from manga_backend.products.urgent.types import ID_CHARACTERS, OrderFilter, OrderStatus

LISTED = 5
_MOST_DIGITS = 18


def list_open(command: Command) -> Message:
    """`/orders [words]`: the newest that can be taken, found by words if there are any."""
    search = command.argument[:100] or None
    found = queries.public_orders(OrderFilter(OrderStatus.ACTIVE, search=search)).limit(LISTED)
    shown = [_shown(order) for order in session().scalars(found)]
    url = settings(CoreSettings).web_app_url
    return Message(render(messages.ORDERS, language(), orders=shown, search=search, url=url))


def list_own(command: Command) -> Message:
    """`/myorders`: what the sender asked for last, with a button to close each that is open."""
    client_id = _account(command.sender.id)
    found = list(session().scalars(queries.own_orders(client_id).limit(LISTED)))
    now = clock.now()
    active = [order.id for order in found if status_at(order, now) is OrderStatus.ACTIVE]
    buttons = [
        messages.close_button(number, order.id)
        for number, order in enumerate(found, 1)
        if order.id in active
    ]
    text = render(messages.MY_ORDERS, language(), orders=[_shown(order) for order in found])
    return Message(text, [[button] for button in buttons])


def answered(press: Press) -> str:
    """The client answered this executor."""
    take, order = _of_press(press)
    service.answer_executor(_account(press.sender.id), order.id, take.executor_id)
    return gettext("Noted. The executor knows that you have answered.")


def done(press: Press) -> str:
    """This executor did it."""
    take, order = _of_press(press)
    service.complete_order(_account(press.sender.id), order.id, take.executor_id)
    return gettext("Thank you! You can rate the executor in the app.")


def close(press: Press) -> str:
    """The client wants no more of it."""
    if len(press.argument) != ID_CHARACTERS:
        raise OrderNotFound
    service.close_order(_account(press.sender.id), press.argument)
    return gettext("Your order is closed.")


def _account(telegram_id: int) -> int:
    """NoAccountYet for whoever has no account here; Banned."""
    user = find_user_by_verified_telegram_id(telegram_id)
    if user is None:
        raise NoAccountYet
    if user.banned_at is not None:
        raise Banned
    return user.id


def _of_press(press: Press) -> tuple[Take, Order]:
    """What the button says, which anyone may have written: the service asks whose order it is."""
    number = press.argument
    is_number = number.isascii() and number.isdecimal() and len(number) <= _MOST_DIGITS
    take = queries.find_take_by_number(int(number)) if is_number else None
    if take is None:
        raise NotAnExecutor
    return take, queries.get_order(take.order_id)


def _shown(order: Order) -> dict[str, Any]:
    now = clock.now()
    return {
        "category": order.category,
        "city": order.city,
        "description": order.description,
        "minutes_left": minutes_left(order.expires_at, now),
        "executors_count": order.executors_count,
        "is_active": status_at(order, now) is OrderStatus.ACTIVE,
        "status": gettext(messages.STATUS_WORDS[status_at(order, now)]),
    }
