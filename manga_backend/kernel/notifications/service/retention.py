"""What is forgotten after the time that the settings keep it."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ColumnElement, and_, delete, or_, select
from sqlalchemy.orm import aliased

from manga_backend.kernel.notifications.models import Notification
from manga_backend.kernel.notifications.settings import NotificationSettings
from manga_backend.kernel.notifications.types import Channel, Priority, Status
from manga_backend.kit import clock
from manga_backend.kit.db import session
from manga_backend.kit.settings import settings

PURGE_BATCH = 1000
FINISHED = (Status.SENT, Status.CANCELLED, Status.UNREACHABLE)


def delete_old(user_id: int) -> int:
    """Delete a user's read inbox messages that are older than the retention; returns how many.
    May run twice."""
    old = delete(Notification).where(Notification.user_id == user_id, _read_and_old(_horizon()))
    return session().execute(old).rowcount  # type: ignore[attr-defined,no-any-return]


def purge(after: int) -> int | None:
    """Forget one batch of read inbox messages, of broadcasts in inboxes and of finished Telegram
    messages that are older than the retention, from the id `after` on.

    Returns the last id looked at, None when there is no more. What failed for good stays for the
    panel; a question whose buttons still wait stays, so that the decision can be shown in it; an
    original stays as long as an edit of it. May run twice and at once.
    """
    current = session()
    horizon = _horizon()
    found = list(
        current.scalars(
            select(Notification.id)
            .where(Notification.id > after, _is_forgotten(horizon))
            .order_by(Notification.id)
            .limit(PURGE_BATCH)
        )
    )
    if not found:
        return None
    current.execute(delete(Notification).where(Notification.id.in_(found)))
    return found[-1] if len(found) == PURGE_BATCH else None


def _is_forgotten(horizon: datetime) -> ColumnElement[bool]:
    return or_(_read_and_old(horizon), _news_of_the_past(horizon), _finished_and_old(horizon))


def _horizon() -> datetime:
    return clock.now() - settings(NotificationSettings).retention


def _read_and_old(horizon: datetime) -> ColumnElement[bool]:
    return and_(
        Notification.channel == Channel.IN_APP,
        Notification.read_at.is_not(None),
        Notification.created_at < horizon,
    )


def _news_of_the_past(horizon: datetime) -> ColumnElement[bool]:
    """A broadcast is written into every inbox, and most are never opened."""
    return and_(
        Notification.channel == Channel.IN_APP,
        Notification.priority == Priority.BULK,
        Notification.created_at < horizon,
    )


def _finished_and_old(horizon: datetime) -> ColumnElement[bool]:
    edit = aliased(Notification)
    edits = select(edit.id).where(edit.edits_id == Notification.id)
    kept = edits.where(or_(edit.created_at >= horizon, edit.status.not_in(FINISHED)))
    waits_for_a_press = and_(
        Notification.subject.is_not(None),
        Notification.buttons.is_not(None),
        Notification.priority == Priority.DECISION,
        ~edits.exists(),
    )
    return and_(
        Notification.channel == Channel.TELEGRAM,
        Notification.status.in_(FINISHED),
        Notification.created_at < horizon,
        ~kept.exists(),
        ~waits_for_a_press,
    )
