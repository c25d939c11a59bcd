"""The in-app inbox."""

from __future__ import annotations

from sqlalchemy import update

from manga_backend.kernel.notifications.models import Notification
from manga_backend.kernel.notifications.types import Channel
from manga_backend.kit import clock
from manga_backend.kit.db import session


def mark_read(user_id: int, notification_id: int | None = None) -> int:
    """Mark one inbox message, or all, as read; returns how many changed. May run twice."""
    statement = update(Notification).where(
        Notification.user_id == user_id,
        Notification.channel == Channel.IN_APP,
        Notification.read_at.is_(None),
    )
    if notification_id is not None:
        statement = statement.where(Notification.id == notification_id)
    return session().execute(statement.values(read_at=clock.now())).rowcount  # type: ignore[attr-defined,no-any-return]
