"""Updates: stored by id first, then handled once each, whoever brings them."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from markupsafe import escape
from sqlalchemy import delete, select, update

from manga_backend.kernel.backoffice.types import Actor
from manga_backend.kernel.telegram.domain import Update, read_contact, read_update
from manga_backend.kernel.telegram.errors import UnknownInvoice
from manga_backend.kernel.telegram.models import MAX_ATTEMPTS, TelegramUpdate
from manga_backend.kernel.telegram.service.chats import note_reachability
from manga_backend.kernel.telegram.service.poller import get_or_make_poller
from manga_backend.kernel.telegram.types import (
    MAX_ANSWER_CHARACTERS,
    BotCommand,
    CheckoutQuestion,
    Command,
    InvoiceHandler,
    Message,
    PressHandler,
    Purchase,
    Reachability,
    Sender,
)
from manga_backend.kit import clock
from manga_backend.kit.db import insert_or, session, transaction
from manga_backend.kit.http import made_storable
from manga_backend.kit.i18n import gettext, in_language, supported
from manga_backend.kit.logging import working_on
from manga_backend.kit.metrics import count_update
from manga_backend.kit.problems import DomainError
from manga_backend.kit.registry import Registry
from manga_backend.kit.settings import refresh

log = logging.getLogger(__name__)

KEEP_UPDATES = timedelta(days=7)

commands: Registry[BotCommand] = Registry("telegram.commands")
"""By the word after the slash."""

presses: Registry[PressHandler] = Registry("telegram.presses")
"""By the word before the first colon of the button's data."""

reply_through: Registry[Callable[[int, Message], None]] = Registry("telegram.replies")
"""`outbox`: how an answer reaches a chat; set by the package above."""

staff: Registry[Callable[[int, str], Actor | None]] = Registry("telegram.staff")
"""`rights`: who acts when the person with this Telegram id uses a right; None if they lack it."""

language_of: Registry[Callable[[int], str | None]] = Registry("telegram.languages")
"""`profile`: the language that the person with this Telegram id chose here."""


invoices: Registry[InvoiceHandler] = Registry("telegram.invoices")
"""By the word before the first colon of the payload."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A call of the Bot API that answers a question, after the commit."""

    method: str
    params: dict[str, Any]


def _shown(query_id: str, words: str) -> Answer:
    """Over the chat of whoever pressed."""
    params = {"callback_query_id": query_id, "text": words[:MAX_ANSWER_CHARACTERS]}
    return Answer("answerCallbackQuery", params)


def _answer_checkout(question: CheckoutQuestion) -> Answer:
    handler = invoices.find(question.payload.partition(":")[0])
    params: dict[str, Any] = {"pre_checkout_query_id": question.query_id, "ok": True}
    if handler is None or not handler.may_pay(question):
        words = gettext("This invoice can't be paid any more. Please make a new one.")
        params |= {"ok": False, "error_message": words}
    return Answer("answerPreCheckoutQuery", params)


def _note_purchase(purchase: Purchase) -> None:
    handler = invoices.find(purchase.payload.partition(":")[0])
    if handler is None:
        raise UnknownInvoice(purchase)
    handler.paid(purchase)


class _Refused(Exception):
    """Takes a refusal out of the transaction, which it rolls back unless `keeps_changes`.

    A press is answered with it after the rollback, a command with a message of its own.
    """

    def __init__(self, to: Sender, refusal: DomainError, query_id: str | None = None) -> None:
        super().__init__(refusal.code)
        self.to = to
        self.words = refusal.message()
        self.query_id = query_id
        self.keeps_changes = refusal.keeps_changes


def store_update(payload: dict[str, Any]) -> None:
    """Keep what the webhook was brought; a second delivery changes nothing."""
    _store([payload])


def _store(updates: list[dict[str, Any]]) -> None:
    now = clock.now()
    rows = [
        {
            "update_id": update["update_id"],
            "payload": made_storable(update),
            "received_at": now,
            "attempts": 0,
        }
        for update in updates
    ]
    session().execute(insert_or(TelegramUpdate).values(rows).on_conflict_do_nothing())


def store_updates(updates: list[dict[str, Any]]) -> None:
    """Keep what one getUpdates brought, and the offset that confirms it; run twice is harmless."""
    if not updates:
        return
    _store(updates)
    poller = get_or_make_poller()
    poller.next_offset = max(u["update_id"] for u in updates) + 1
    session().flush()


def handle_update(update_id: int) -> Answer | None:
    """Handle one stored update in a transaction of its own; a handled one does nothing.

    The polling loop and the webhook both call this. A refusal rolls back what the press had begun
    and is its answer. A fault rolls the work back, is counted and logged, and is tried again up to
    3 times; it never stops the updates after it.
    """
    refresh()
    with working_on(f"update-{update_id}"):
        return _handle(update_id)


def _handle(update_id: int) -> Answer | None:
    try:
        with transaction() as current:
            row = current.scalar(
                select(TelegramUpdate)
                .where(TelegramUpdate.update_id == update_id, TelegramUpdate.handled_at.is_(None))
                .with_for_update(skip_locked=True)
            )
            if row is None:
                return None
            row.handled_at = clock.now()
            current.flush()
            contact = read_contact(row.payload)
            if contact is not None:
                note_reachability(contact.chat_id, contact.reachability)
            answer = _dispatch(read_update(row.payload))
        count_update("handled")
        return answer
    except _Refused as refused:
        count_update("refused")
        return _answer_refused(update_id, refused)
    except Exception as error:
        count_update("failed")
        log.exception("update %s could not be handled", update_id)
        _note_failure(update_id, error)
        return None


def _answer_refused(update_id: int, refused: _Refused) -> Answer | None:
    """Mark the update as handled, if the rollback undid that; a command's answer is queued."""
    with transaction() as current:
        current.execute(
            update(TelegramUpdate)
            .where(TelegramUpdate.update_id == update_id, TelegramUpdate.handled_at.is_(None))
            .values(handled_at=clock.now())
        )
        if refused.query_id is None:
            note_reachability(refused.to.id, Reachability.ENABLED)
            reply_through["outbox"](refused.to.id, Message(str(escape(refused.words))))
            return None
    return _shown(refused.query_id, refused.words)


def _note_failure(update_id: int, error: Exception) -> None:
    with transaction() as current:
        row = current.get(TelegramUpdate, update_id)
        if row is None or row.handled_at is not None:
            return
        row.attempts += 1
        row.error = f"{type(error).__name__}: {error}"[:500]
        if row.attempts >= MAX_ATTEMPTS:
            row.handled_at = clock.now()


def _dispatch(update: Update | None) -> Answer | None:
    if update is None:
        return None
    with in_language(_language(update.sender)):
        if isinstance(update, CheckoutQuestion):
            return _answer_checkout(update)
        if isinstance(update, Purchase):
            _note_purchase(update)
            return None
        if isinstance(update, Command):
            message = _run(update)
            if message is not None:
                reply_through["outbox"](update.sender.id, message)
            return None
        press = presses.find(update.data.partition(":")[0])
        try:
            words = press(update) if press else gettext("This button does nothing any more.")
        except DomainError as refusal:
            raise _Refused(update.sender, refusal, update.query_id) from refusal
        return _shown(update.query_id, words)


def _run(update: Command) -> Message | None:
    """The answer to a command; whoever lacks its right is answered as if there were none."""
    command = commands.find(update.name)
    if command is not None and command.permission is not None:
        actor = staff["rights"](update.sender.id, command.permission)
        if actor is None:
            command = None
        else:
            update = replace(update, actor=actor)
    command = command or commands.find("help")
    if command is None:
        return None
    try:
        return command.handler(update)
    except DomainError as refusal:
        raise _Refused(update.sender, refusal) from refusal


def _language(sender: Sender) -> str | None:
    profile = language_of.find("profile")
    return (profile(sender.id) if profile else None) or supported(sender.language_code)


def purge_updates() -> None:
    """Forget handled updates after a week."""
    with transaction() as current:
        current.execute(
            delete(TelegramUpdate).where(TelegramUpdate.handled_at < clock.now() - KEEP_UPDATES)
        )
