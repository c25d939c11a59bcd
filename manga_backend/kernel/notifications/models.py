"""The outbox: one row, one message to one recipient."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, SmallInteger, Text
from sqlalchemy.orm import Mapped, mapped_column

from manga_backend.kernel.notifications.types import Channel, Status
from manga_backend.kit.db import BigId, Model, enum_type, partial_index


class Notification(Model):
    """Written with the change it tells of; `due_at` is also the lease of whoever is sending it."""

    __tablename__ = "notifications"
    __table_args__ = (
        CheckConstraint("channel <> 'telegram' OR chat_id IS NOT NULL", name="telegram_has_chat"),
        CheckConstraint("channel <> 'in_app' OR user_id IS NOT NULL", name="in_app_has_user"),
        partial_index(
            # In exactly the order in which messages are claimed: no claim sorts what waits.
            "ix_notifications_waiting",
            *("priority", "due_at", "id"),
            where="status IN ('new', 'failed')",
        ),
        partial_index(
            "ix_notifications_unread", "user_id", where="channel = 'in_app' AND read_at IS NULL"
        ),
        partial_index("ix_notifications_dead", "id", where="status = 'dead'"),
        Index(None, "user_id", "id"),
        Index(None, "subject", "status"),
        partial_index(
            "ix_notifications_waiting_for_chat", "chat_id", where="status IN ('new', 'failed')"
        ),
        partial_index("ix_notifications_edits", "edits_id", where="edits_id IS NOT NULL"),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    channel: Mapped[Channel] = mapped_column(enum_type(Channel, "channel"))
    kind: Mapped[str]
    subject: Mapped[str | None]
    user_id: Mapped[int | None] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    chat_id: Mapped[int | None] = mapped_column(BigInteger)
    language: Mapped[str | None]
    text: Mapped[str]
    buttons: Mapped[dict[str, Any] | None]
    edits_id: Mapped[int | None] = mapped_column(ForeignKey("notifications.id", ondelete="CASCADE"))
    priority: Mapped[int] = mapped_column(SmallInteger)
    status: Mapped[Status] = mapped_column(enum_type(Status, "status"))
    attempts: Mapped[int] = mapped_column(SmallInteger, default=0)
    due_at: Mapped[datetime]
    last_error: Mapped[str | None]
    telegram_message_id: Mapped[int | None] = mapped_column(BigInteger)
    created_at: Mapped[datetime]
    sent_at: Mapped[datetime | None]
    read_at: Mapped[datetime | None]


class DeviceToken(Model):
    """Where a phone app can be pushed to; a token moves to whoever registered it last."""

    __tablename__ = "device_tokens"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    token: Mapped[str] = mapped_column(Text, unique=True)
    platform: Mapped[str]
    created_at: Mapped[datetime]
    seen_at: Mapped[datetime]
