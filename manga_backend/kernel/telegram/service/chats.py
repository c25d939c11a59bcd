"""Whether private chats can be written to, as Telegram last answered or told."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Select, and_, literal, select

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


def note_enabled(chats: Select[int | None, datetime | None]) -> None:
    """Private chats that took a message, by one statement; `chats` selects each id once, and when
    it was. What was noted later stands. May run twice."""
    chat_id, at = chats.selected_columns
    state = literal(Reachability.ENABLED, TelegramChat.__table__.c.reachability.type)
    rows = chats.with_only_columns(chat_id, state, at)
    insert = insert_or(TelegramChat).from_select(
        ["chat_id", "reachability", "changed_at"],
        rows.where(chat_id > 0).order_by(chat_id),  # in one order, so that two can't lock crosswise
    )
    session().execute(
        insert.on_conflict_do_update(
            index_elements=[TelegramChat.chat_id],
            set_={name: insert.excluded[name] for name in ("reachability", "changed_at")},
            where=and_(
                TelegramChat.reachability != Reachability.ENABLED,
                TelegramChat.changed_at < insert.excluded.changed_at,
            ),
        )
    )
