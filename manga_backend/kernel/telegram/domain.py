"""Reading updates: from Telegram's JSON to commands, presses and contacts."""

from __future__ import annotations

import re
from typing import Any

from manga_backend.kernel.telegram.types import (
    CheckoutQuestion,
    Command,
    Contact,
    Press,
    Purchase,
    Reachability,
    Sender,
)

Update = Command | Press | CheckoutQuestion | Purchase


def read_update(payload: dict[str, Any]) -> Update | None:
    """A private command, a button press, or what happens to an invoice of ours; None for all else.
    Unknown fields are ignored."""
    query = payload.get("callback_query")
    if isinstance(query, dict):
        return Press(
            sender=_sender(query["from"]),
            query_id=str(query["id"]),
            data=str(query.get("data") or ""),
        )
    question = payload.get("pre_checkout_query")
    if isinstance(question, dict):
        return CheckoutQuestion(
            sender=_sender(question["from"]),
            query_id=str(question["id"]),
            payload=str(question["invoice_payload"]),
            amount=int(question["total_amount"]),
            currency=str(question["currency"]),
        )
    message = payload.get("message")
    if not isinstance(message, dict) or not isinstance(message.get("from"), dict):
        return None
    paid = message.get("successful_payment")
    if isinstance(paid, dict):
        return Purchase(
            sender=_sender(message["from"]),
            payload=str(paid["invoice_payload"]),
            amount=int(paid["total_amount"]),
            currency=str(paid["currency"]),
            charge_id=str(paid["telegram_payment_charge_id"]),
        )
    text = message.get("text")
    private = (message.get("chat") or {}).get("type") == "private"
    if not private or not isinstance(text, str) or not text.startswith("/"):
        return None
    head, argument = re.fullmatch(r"/(\S*)\s*(.*)", text, re.DOTALL).groups()  # type: ignore[union-attr]
    name = head.partition("@")[0].lower()  # "/start@two_manga_bot"
    return Command(sender=_sender(message["from"]), name=name, argument=argument.strip())


MEMBER_STATUS = {"member": Reachability.ENABLED, "kicked": Reachability.BLOCKED}
"""Of the bot in a private chat: the person pressed Start or unblocked it, or blocked it."""


def read_contact(payload: dict[str, Any]) -> Contact | None:
    """What an update shows of its private chat: whoever writes can be written to."""
    changed = payload.get("my_chat_member")
    found = changed or payload.get("message")
    chat = found.get("chat") if isinstance(found, dict) else None
    if not isinstance(chat, dict) or chat.get("type") != "private" or "id" not in chat:
        return None
    state: Reachability | None = Reachability.ENABLED
    if isinstance(changed, dict):
        state = MEMBER_STATUS.get(str((changed.get("new_chat_member") or {}).get("status")))
    return Contact(int(chat["id"]), state) if state else None


def _sender(person: dict[str, Any]) -> Sender:
    return Sender(id=int(person["id"]), language_code=person.get("language_code"))
