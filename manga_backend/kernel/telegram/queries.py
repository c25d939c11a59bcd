"""Reads of updates, of chats and of the poller's state."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import or_, select

from manga_backend.kernel.telegram.models import TelegramChat, TelegramPoller, TelegramUpdate
from manga_backend.kernel.telegram.types import Reachability
from manga_backend.kit.db import session


def find_poller() -> TelegramPoller | None:
    """The state of the loop; None before it ever ran."""
    return session().get(TelegramPoller, 1)


def find_last_received_at() -> datetime | None:
    """When the update with the highest number came."""
    return session().scalar(
        select(TelegramUpdate.received_at).order_by(TelegramUpdate.update_id.desc()).limit(1)
    )


def is_heard_since(moment: datetime) -> bool:
    """Whether an update was handled since then, or waits."""
    found = session().scalar(
        select(TelegramUpdate.update_id)
        .where(or_(TelegramUpdate.handled_at.is_(None), TelegramUpdate.handled_at >= moment))
        .limit(1)
    )
    return found is not None


def list_waiting_update_ids() -> list[int]:
    """Stored updates that are not handled yet, in the order in which Telegram numbered them."""
    return list(
        session().scalars(
            select(TelegramUpdate.update_id)
            .where(TelegramUpdate.handled_at.is_(None))
            .order_by(TelegramUpdate.update_id)
        )
    )


def reachability_of(chat_ids: Collection[int]) -> dict[int, Reachability]:
    """What is known of each chat, by one statement; chats that nothing is known of are left out."""
    if not chat_ids:
        return {}
    rows = session().execute(
        select(TelegramChat.chat_id, TelegramChat.reachability).where(
            TelegramChat.chat_id.in_(chat_ids)
        )
    )
    return {row[0]: row[1] for row in rows}


def find_reachability(chat_id: int) -> Reachability:
    """What is known of one chat."""
    return reachability_of([chat_id]).get(chat_id, Reachability.UNKNOWN)
