"""The steps of a delivery: claim (transaction) → send (none) → record (transaction)."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Update, func, select, update

from manga_backend.kernel.notifications.domain import next_attempt
from manga_backend.kernel.notifications.models import Notification
from manga_backend.kernel.notifications.queries import WAITING
from manga_backend.kernel.notifications.types import Channel, Priority, Status
from manga_backend.kernel.telegram.queries import reachability_of
from manga_backend.kernel.telegram.service.chats import note_reachability
from manga_backend.kernel.telegram.types import Reachability
from manga_backend.kit import clock
from manga_backend.kit.db import session, write_one

LEASE = timedelta(seconds=30)
WAIT_FOR_ORIGINAL = timedelta(seconds=1)

NOT_YET_SENT = (*WAITING, Status.HELD, Status.CANCELLED)
"""A message in flight may be held or cancelled meanwhile; that it left is a fact all the same."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """What a sender needs to know; no row is held while it is sent."""

    id: int
    chat_id: int
    text: str
    buttons: dict[str, Any] | None
    edits_message_id: int | None
    priority: int
    reachability: Reachability


def claim_due(limit: int) -> list[Outgoing]:
    """Lease due Telegram messages for 30 s, decisions first, oldest first; counts the attempt.

    Rows leased by others are skipped (SKIP LOCKED). An edit whose original has not left yet waits;
    one whose original never will is cancelled. What is addressed to somebody who is known to be
    out of reach is given up at once, except decisions, which are always tried. Nothing claimed
    means that nothing is due.
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
    """Every row is leased, or put off, or given up: none of them is due any more."""
    originals = _originals([row.edits_id for row in rows if row.edits_id is not None])
    states = reachability_of({row.chat_id for row in rows if row.chat_id is not None})
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
        chat_id = row.chat_id or 0
        reachability = states.get(chat_id, Reachability.UNKNOWN)
        if not reachability.is_open and row.priority > Priority.DECISION:
            row.status, row.last_error = Status.UNREACHABLE, reachability.value
            continue
        row.due_at = now + LEASE
        row.attempts += 1
        claimed.append(
            Outgoing(
                id=row.id,
                chat_id=chat_id,
                text=row.text,
                buttons=row.buttons,
                edits_message_id=message_id,
                priority=row.priority,
                reachability=reachability,
            )
        )
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


def record_sent(out: Outgoing, message_id: int | None) -> None:
    """The message left, so its chat can be written to; `message_id` is None for edits.

    One statement on the autocommit engine, where nothing else is to be noted. May run twice.
    """
    change = _change(
        out.id,
        NOT_YET_SENT,
        status=Status.SENT,
        sent_at=clock.now(),
        telegram_message_id=message_id,
        last_error=None,
    )
    if out.chat_id < 0 or out.reachability is Reachability.ENABLED:
        write_one(change)
    else:
        session().execute(change)
        note_reachability(out.chat_id, Reachability.ENABLED)


def record_refused(notification_id: int, why: str) -> None:
    """It will never leave: refused for good."""
    _record(notification_id, status=Status.DEAD, last_error=why[:500])


def record_unreachable(out: Outgoing, state: Reachability, why: str) -> None:
    """The recipient blocked the bot, is gone or never started it; later messages are not tried."""
    _record(out.id, status=Status.UNREACHABLE, last_error=why[:500])
    note_reachability(out.chat_id, state)


def record_failed(notification_id: int, why: str) -> None:
    """It may leave later: tried again with back-off, given up after 24 h."""
    row = session().get_one(Notification, notification_id)
    again = next_attempt(row.attempts, row.created_at, clock.now())
    if again is None:
        record_refused(notification_id, why)
    else:
        _record(notification_id, status=Status.FAILED, due_at=again, last_error=why[:500])


def release(claimed: Collection[int]) -> None:
    """Give a lease back: the rows are due at once, and it was no attempt."""
    session().execute(
        update(Notification)
        .where(Notification.id.in_(claimed), Notification.status.in_(WAITING))
        .values(due_at=clock.now(), attempts=Notification.attempts - 1)
    )


def put_off(claimed: Sequence[int], chat_id: int, wait_seconds: float, step_seconds: float) -> None:
    """A chat has to rest: its claimed messages come after `wait_seconds` and after what was put off
    before them, `step_seconds` apart. It was no attempt. Other chats go on."""
    current = session()
    now = clock.now()
    due_at = now + timedelta(seconds=wait_seconds)
    last = current.scalar(
        select(func.max(Notification.due_at)).where(
            Notification.chat_id == chat_id,
            Notification.status.in_(WAITING),
            Notification.attempts == 0,  # with an attempt it is a lease, or a pause after a failure
            Notification.due_at > now,
            Notification.priority < Priority.BULK,
        )
    )
    if last is not None:
        due_at = max(due_at, last + timedelta(seconds=step_seconds))
    for number, notification_id in enumerate(claimed):
        _record(
            notification_id,
            due_at=due_at + timedelta(seconds=number * step_seconds),
            attempts=Notification.attempts - 1,
        )


def retry_failed_now() -> None:
    """Telegram answers again: what waits for its next attempt need not wait any longer."""
    session().execute(
        update(Notification)
        .where(Notification.status == Status.FAILED, Notification.due_at > clock.now())
        .values(due_at=clock.now())
    )


def _record(notification_id: int, **values: Any) -> None:
    session().execute(_change(notification_id, WAITING, **values))


def _change(notification_id: int, before: tuple[Status, ...], **values: Any) -> Update:
    return (
        update(Notification)
        .where(Notification.id == notification_id, Notification.status.in_(before))
        .values(**values)
    )
