"""Updates as they arrived, and where the poller stands."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, Index
from sqlalchemy.orm import Mapped, mapped_column

from manga_backend.kernel.telegram.types import Reachability
from manga_backend.kit.db import Model, enum_type, partial_index

MAX_ATTEMPTS = 3


class TelegramUpdate(Model):
    """One update, stored before it is handled; its id makes a second delivery harmless."""

    __tablename__ = "telegram_updates"
    __table_args__ = (
        partial_index("ix_telegram_updates_waiting", "update_id", where="handled_at IS NULL"),
        Index(None, "handled_at"),
    )

    update_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    payload: Mapped[dict[str, Any]]
    received_at: Mapped[datetime]
    attempts: Mapped[int] = mapped_column(default=0)
    handled_at: Mapped[datetime | None]
    error: Mapped[str | None]


class TelegramPoller(Model):
    """The one row that every process of the deployment reads: offset and health of the loop."""

    __tablename__ = "telegram_poller"
    __table_args__ = (CheckConstraint("id = 1", name="one_row"),)

    id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    next_offset: Mapped[int | None]
    polled_at: Mapped[datetime | None]
    problem: Mapped[str | None]
    bot_username: Mapped[str | None]
    menu_digest: Mapped[str | None]
    """Of the command menus that Telegram was last given; they are sent again when it differs."""


class TelegramChat(Model):
    """Whether a private chat can be written to, kept from what Telegram answers and tells."""

    __tablename__ = "telegram_chats"

    chat_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    reachability: Mapped[Reachability] = mapped_column(enum_type(Reachability, "reachability"))
    changed_at: Mapped[datetime]
