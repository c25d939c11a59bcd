"""The steps of a delivery: claim (transaction) → send (none) → record (transaction)."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select, update

from manga_backend.kernel.notifications.domain import next_attempt
from manga_backend.kernel.notifications.models import Notification
from manga_backend.kernel.notifications.queries import WAITING
from manga_backend.kernel.notifications.types import Channel, Status
from manga_backend.kit import clock
from manga_backend.kit.db import session

LEASE = timedelta(seconds=30)
WAIT_FOR_ORIGINAL = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Outgoing:
    """What a sender needs to know; no row is held while it is sent."""

    id: int
    chat_id: int
    text: str
    buttons: dict[str, Any] | None
    edits_message_id: int | None


def claim_due(limit: int) -> list[Outgoing]:
    """Lease due Telegram messages for 30 s, decisions first, oldest first; counts the attempt.

    Rows leased by others are skipped (SKIP LOCKED). An edit whose original has not left yet waits;
    one whose original never will is cancelled. Nothing claimed means that nothing is due.
    """
    now = clock.now()
    while rows := _lock_due(now, limit):
        if claimed := _lease(rows, now):
            return claimed
    return []


def _lock_due(now: datetime, limit: int) -> Sequence[Notification]:
    return (
        session()
        .scalars(
            select(Notification)
            .where(
                Notification.status.in_(WAITING),
                Notification.channel == Channel.TELEGRAM,
                Notification.due_at <= now,
            )
            .order_by(Notification.priority, Notification.due_at, Notification.id)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
        .all()
    )


def _lease(rows: Sequence[Notification], now: datetime) -> list[Outgoing]:
    """Every row is leased, or put off, or cancelled: none of them is due any more."""
    originals = _originals([row.edits_id for row in rows if row.edits_id is not None])
    claimed = []
    for row in rows:
        message_id: int | None = None
        if row.edits_id is not None:
            status, message_id = originals.get(row.edits_id, (Status.DEAD, None))
            if message_id is None:
                if status in WAITING:
                    row.due_at = now + WAIT_FOR_ORIGINAL
                else:
                    row.status = Status.CANCELLED
                continue
        row.due_at = now + LEASE
        row.attempts += 1
        chat_id = row.chat_id or 0
        claimed.append(Outgoing(row.id, chat_id, row.text, row.buttons, message_id))
    session().flush()
    return claimed


def _originals(ids: list[int]) -> dict[int, tuple[Status, int | None]]:
    if not ids:
        return {}
    rows = session().execute(
        select(Notification.id, Notification.status, Notification.telegram_message_id).where(
            Notification.id.in_(ids)
        )
    )
    return {row.id: (row.status, row.telegram_message_id) for row in rows}


def record_sent(notification_id: int, message_id: int | None) -> None:
    """The message left; `message_id` is None for edits."""
    _record(
        notification_id,
        status=Status.SENT,
        sent_at=clock.now(),
        telegram_message_id=message_id,
        last_error=None,
    )


def record_dead(notification_id: int, why: str) -> None:
    """It will never leave: refused for good."""
    _record(notification_id, status=Status.DEAD, last_error=why[:500])


def record_failed(notification_id: int, why: str) -> None:
    """It may leave later: tried again with back-off, given up after 24 h."""
    row = session().get_one(Notification, notification_id)
    again = next_attempt(row.attempts, row.created_at, clock.now())
    if again is None:
        record_dead(notification_id, why)
    else:
        _record(notification_id, status=Status.FAILED, due_at=again, last_error=why[:500])


def record_busy(unsent: Collection[int], chat_id: int, seconds: int) -> None:
    """Telegram said wait: this chat's messages wait that long, others go on.

    `unsent` are those that the caller had claimed for this chat: their lease ends, and it was no
    attempt.
    """
    until = clock.now() + timedelta(seconds=seconds)
    current = session()
    current.execute(
        update(Notification)
        .where(Notification.id.in_(unsent), Notification.status.in_(WAITING))
        .values(due_at=until, attempts=Notification.attempts - 1)
    )
    current.execute(
        update(Notification)
        .where(
            Notification.chat_id == chat_id,
            Notification.status.in_(WAITING),
            Notification.due_at < until,
        )
        .values(due_at=until)
    )


def _record(notification_id: int, **values: Any) -> None:
    session().execute(
        update(Notification)
        .where(Notification.id == notification_id, Notification.status.in_(WAITING))
        .values(**values)
    )
