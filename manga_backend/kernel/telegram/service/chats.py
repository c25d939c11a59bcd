"""Whether private chats can be written to, as Telegram last answered or told."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import select

from manga_backend.kernel.telegram.models import TelegramChat
from manga_backend.kernel.telegram.types import Reachability
from manga_backend.kit import clock
from manga_backend.kit.db import insert_or, session


def note_reachability(chat_id: int, state: Reachability) -> None:
    """Keep `state` of a private chat; of a group (an id below 1) nothing is kept. May run twice.

    One read when nothing changed, which is nearly always; the row is locked only by a change.
    """
    if chat_id <= 0:
        return
    current = session()
    known = current.scalar(select(TelegramChat.reachability).where(TelegramChat.chat_id == chat_id))
    if known == state:
        return
    values = {"reachability": state, "changed_at": clock.now()}
    current.execute(
        insert_or(TelegramChat)
        .values(chat_id=chat_id, **values)
        .on_conflict_do_update(index_elements=[TelegramChat.chat_id], set_=values)
    )


def note_enabled(chat_ids: Collection[int]) -> None:
    """Private chats that took a message, by one statement. May run twice."""
    values = {"reachability": Reachability.ENABLED, "changed_at": clock.now()}
    rows = [{"chat_id": chat_id, **values} for chat_id in sorted(chat_ids)]
    insert = insert_or(TelegramChat).on_conflict_do_update(
        index_elements=[TelegramChat.chat_id],
        set_=values,
        where=TelegramChat.reachability != Reachability.ENABLED,
    )
    session().execute(insert, rows)
