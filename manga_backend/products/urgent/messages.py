"""What people are told of orders, and the buttons below it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from manga_backend.kernel.telegram.types import Button
from manga_backend.kit.i18n import N_, gettext, in_language
from manga_backend.products.urgent.types import OrderStatus

TAKEN_BY = "messages/urgent_taken.html"
ANSWERED = "messages/urgent_answered.html"
COMPLETED = "messages/urgent_completed.html"
OVER = "messages/urgent_over.html"
REFUNDED = "messages/urgent_refunded.html"
CLOSED = "messages/urgent_closed.html"
WHO_DID_IT = "messages/urgent_who_did_it.html"
NOBODY_CAME = "messages/urgent_nobody_came.html"
NEW_ORDER = "messages/urgent_new_order.html"
DIGEST = "messages/urgent_digest.html"
REVIEWED = "messages/urgent_reviewed.html"
COMPLAINT_UPHELD = "messages/urgent_complaint_upheld.html"
COMPLAINT_DISMISSED = "messages/urgent_complaint_dismissed.html"
ORDERS = "messages/urgent_orders.html"
MY_ORDERS = "messages/urgent_my_orders.html"

POSTED, TAKEN = "urgent:posted", "urgent:taken"
FACT_OF_STATUS = {status: f"urgent:{status.value}" for status in OrderStatus}
"""What statistics count them by."""

CLIENT_SILENT, CLOSED_BY_CLIENT = "client_silent", "closed_by_client"
CLIENT_BANNED, BY_ADMIN, COMPLAINT = "client_banned", "by_admin", "complaint"
REFUND_REASONS = {
    CLIENT_SILENT: N_("The client did not answer within 15 minutes."),
    CLOSED_BY_CLIENT: N_("The client closed the order before answering anyone."),
    CLIENT_BANNED: N_("The client was banned."),
    BY_ADMIN: N_("An admin has closed the order."),
    COMPLAINT: N_("Your complaint was upheld."),
}

STATUS_WORDS = {
    OrderStatus.ACTIVE: N_("active"),
    OrderStatus.EXPIRED: N_("expired"),
    OrderStatus.DELETED: N_("deleted"),
    OrderStatus.CLOSED_NO_RESPONSE: N_("closed without an answer"),
    OrderStatus.COMPLETED: N_("completed"),
}

ANSWER_PRESS, DONE_PRESS, CLOSE_PRESS = "ua", "ud", "uc"

MONEY_BACK = N_("The executor got the money back.")
"""Why a review is hidden by itself."""

CLOSED_ANYHOW, DONE_BY_ANOTHER = (
    N_("The client has closed this order."),
    N_("Somebody else has done this order."),
)

Buttons = Callable[[str | None], list[list[Button]]]
"""Language → rows."""


def answer_buttons(take_id: int, first_name: str) -> Buttons:
    """For the client: this executor was answered."""

    def rows(language: str | None) -> list[list[Button]]:
        with in_language(language):
            name = first_name or gettext("Executor")
            words = gettext("✅ I answered %(name)s", name=name)
        return [[Button(words[:64], data=f"{ANSWER_PRESS}:{take_id}")]]

    return rows


def has_button(buttons: dict[str, Any] | None, word: str, number: int) -> bool:
    """Whether a message has the button of this take."""
    rows = (buttons or {}).get("rows", [])
    return any(button.get("callback_data") == f"{word}:{number}" for row in rows for button in row)


def done_buttons(takes: Sequence[tuple[int, str]]) -> Buttons:
    """For the client: which of them did it."""

    def rows(language: str | None) -> list[list[Button]]:
        with in_language(language):
            return [
                [
                    Button(
                        gettext("🏁 %(name)s did it", name=name or gettext("Executor"))[:64],
                        data=f"{DONE_PRESS}:{take_id}",
                    )
                ]
                for take_id, name in takes
            ]

    return rows


def close_button(number: int, order_id: str) -> Button:
    """For the client, in the language of the moment: close the order of this number in a list."""
    words = gettext("Close order %(number)s", number=number)
    return Button(words, data=f"{CLOSE_PRESS}:{order_id}")
