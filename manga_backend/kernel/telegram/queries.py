"""Reads of updates and of the poller's state."""

from __future__ import annotations

from sqlalchemy import select

from manga_backend.kernel.telegram.models import TelegramPoller, TelegramUpdate
from manga_backend.kit.db import session


def find_poller() -> TelegramPoller | None:
    """The state of the loop; None before it ever ran."""
    return session().get(TelegramPoller, 1)


def list_waiting_update_ids() -> list[int]:
    """Stored updates that are not handled yet, in the order in which Telegram numbered them."""
    return list(
        session().scalars(
            select(TelegramUpdate.update_id)
            .where(TelegramUpdate.handled_at.is_(None))
            .order_by(TelegramUpdate.update_id)
        )
    )
