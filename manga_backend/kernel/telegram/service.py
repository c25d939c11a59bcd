"""Updates: stored by id first, then handled once each, whoever brings them."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import delete, select, update
from sqlalchemy.exc import SQLAlchemyError

from manga_backend.kernel.operations.types import Check
from manga_backend.kernel.telegram.domain import read_update
from manga_backend.kernel.telegram.models import MAX_ATTEMPTS, TelegramPoller, TelegramUpdate
from manga_backend.kernel.telegram.settings import TelegramSettings
from manga_backend.kernel.telegram.types import (
    MAX_ANSWER_CHARACTERS,
    Command,
    CommandHandler,
    Message,
    Press,
    PressHandler,
    Sender,
)
from manga_backend.kit import clock
from manga_backend.kit.db import insert_or, session, transaction
from manga_backend.kit.i18n import gettext, in_language, supported
from manga_backend.kit.problems import DomainError
from manga_backend.kit.registry import Registry
from manga_backend.kit.settings import settings

log = logging.getLogger(__name__)

KEEP_UPDATES = timedelta(days=7)
POLLED_LATELY = timedelta(seconds=120)

commands: Registry[CommandHandler] = Registry("telegram.commands")
presses: Registry[PressHandler] = Registry("telegram.presses")
"""By the word before the first colon of the button's data."""

reply_through: Registry[Callable[[int, Message], None]] = Registry("telegram.replies")
"""`outbox`: how an answer reaches a chat; set by the package above."""

language_of: Registry[Callable[[int], str | None]] = Registry("telegram.languages")
"""`profile`: the language that the person with this Telegram id chose here."""


@dataclass(frozen=True, slots=True)
class Answer:
    """To be shown over the chat of whoever pressed, after the commit."""

    query_id: str
    text: str


class _Refused(Exception):
    """Takes the answer to a refused press out of the transaction, which it rolls back."""

    def __init__(self, answer: Answer, keeps_changes: bool) -> None:
        super().__init__(answer.text)
        self.answer = answer
        self.keeps_changes = keeps_changes


def store_updates(updates: list[dict[str, Any]]) -> None:
    """Keep what one getUpdates brought, and the offset that confirms it; run twice is harmless."""
    if not updates:
        return
    current = session()
    rows = [
        {"update_id": u["update_id"], "payload": u, "received_at": clock.now(), "attempts": 0}
        for u in updates
    ]
    current.execute(insert_or(TelegramUpdate).values(rows).on_conflict_do_nothing())
    poller = get_or_make_poller()
    poller.next_offset = max(u["update_id"] for u in updates) + 1
    current.flush()


def get_or_make_poller() -> TelegramPoller:
    """The one row of the loop's state."""
    current = session()
    poller = current.get(TelegramPoller, 1)
    if poller is None:
        poller = TelegramPoller(id=1)
        current.add(poller)
        current.flush()
    return poller


def handle_update(update_id: int) -> Answer | None:
    """Handle one stored update in a transaction of its own; a handled one does nothing.

    The polling loop and the webhook both call this. A refusal rolls back what the press had begun
    and is its answer. A fault rolls the work back, is counted and logged, and is tried again up to
    3 times; it never stops the updates after it.
    """
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
            return _dispatch(read_update(row.payload))
    except _Refused as refused:
        _mark_handled(update_id)
        return refused.answer
    except Exception as error:
        log.exception("update %s could not be handled", update_id)
        _note_failure(update_id, error)
        return None


def _mark_handled(update_id: int) -> None:
    with transaction() as current:
        current.execute(
            update(TelegramUpdate)
            .where(TelegramUpdate.update_id == update_id, TelegramUpdate.handled_at.is_(None))
            .values(handled_at=clock.now())
        )


def _note_failure(update_id: int, error: Exception) -> None:
    with transaction() as current:
        row = current.get(TelegramUpdate, update_id)
        if row is None or row.handled_at is not None:
            return
        row.attempts += 1
        row.error = f"{type(error).__name__}: {error}"[:500]
        if row.attempts >= MAX_ATTEMPTS:
            row.handled_at = clock.now()


def _dispatch(update: Command | Press | None) -> Answer | None:
    if update is None:
        return None
    with in_language(_language(update.sender)):
        if isinstance(update, Command):
            handler = commands.find(update.name) or commands.find("help")
            message = handler(update) if handler else None
            if message is not None:
                reply_through["outbox"](update.sender.id, message)
            return None
        press = presses.find(update.data.partition(":")[0])
        try:
            words = press(update) if press else gettext("This button does nothing any more.")
        except DomainError as refusal:
            answer = Answer(update.query_id, refusal.message()[:MAX_ANSWER_CHARACTERS])
            raise _Refused(answer, refusal.keeps_changes) from refusal
        return Answer(update.query_id, words[:MAX_ANSWER_CHARACTERS])


def _language(sender: Sender) -> str | None:
    profile = language_of.find("profile")
    return (profile(sender.id) if profile else None) or supported(sender.language_code)


def purge_updates() -> None:
    """Forget handled updates after a week."""
    with transaction() as current:
        current.execute(
            delete(TelegramUpdate).where(TelegramUpdate.handled_at < clock.now() - KEEP_UPDATES)
        )


def check_poller() -> Check:
    """For readiness: is someone reading updates, and what keeps them from it."""
    if settings(TelegramSettings).mode == "off":
        return Check(True, "off: no TELEGRAM_BOT_TOKEN, or TELEGRAM_MODE=off")
    try:
        poller = session().get(TelegramPoller, 1)
    except SQLAlchemyError as error:
        return Check(False, f"unknown: {type(error).__name__}")
    if poller is None:
        return Check(False, "nobody has polled yet")
    if poller.problem:
        return Check(False, poller.problem)
    if poller.polled_at is None or clock.now() - poller.polled_at > POLLED_LATELY:
        return Check(False, "nobody polls: no process leads")
    return Check(True, f"@{poller.bot_username} reads updates")


def note_poller(*, problem: str | None, bot_username: str | None = None) -> None:
    """Record how the loop fares, for readiness checks of every process."""
    poller = get_or_make_poller()
    poller.problem = problem
    if problem is None:
        poller.polled_at = clock.now()
    if bot_username:
        poller.bot_username = bot_username
    session().flush()
