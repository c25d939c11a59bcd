"""The steps of a delivery: claim (transaction) → send (none) → record (transaction)."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Row,
    bindparam,
    case,
    cast,
    func,
    select,
    update,
)

from manga_backend.kernel.notifications.domain import next_attempt
from manga_backend.kernel.notifications.events import MessageGivenUp
from manga_backend.kernel.notifications.models import Notification
from manga_backend.kernel.notifications.queries import WAITING
from manga_backend.kernel.notifications.types import Channel, Outgoing, Priority, Sent, Status
from manga_backend.kernel.telegram.queries import reachability_of
from manga_backend.kernel.telegram.service.chats import note_enabled, note_reachability
from manga_backend.kernel.telegram.types import Reachability
from manga_backend.kit import clock
from manga_backend.kit.db import Prepared, read_in_index_order, session, write_one, write_prepared
from manga_backend.kit.events import publish
from manga_backend.kit.metrics import count_messages

LEASE = timedelta(seconds=30)
WAIT_FOR_ORIGINAL = timedelta(seconds=1)


def claim_due(limit: int) -> list[Outgoing]:
    """Lease due Telegram messages for 30 s, decisions first, oldest first; counts the attempt.

    Rows leased by others are skipped (SKIP LOCKED). An edit whose original has not left yet waits;
    one whose original never will is cancelled. What is addressed to somebody who is known to be
    out of reach is given up at once, except decisions, which are always tried. Nothing claimed
    means that nothing is due.
    """
    now = clock.now()
    read_in_index_order()
    while rows := _lock_due(now, limit):
        if claimed := _lease(rows, now):
            return claimed
    return []


_COLUMNS = (
    Notification.id,
    Notification.chat_id,
    Notification.text,
    Notification.buttons,
    Notification.edits_id,
    Notification.priority,
)


def _lock_due(now: datetime, limit: int) -> Sequence[Row[Any]]:
    return (
        session()
        .execute(
            select(*_COLUMNS)
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


def _lease(rows: Sequence[Row[Any]], now: datetime) -> list[Outgoing]:
    """Every row is leased, or put off, or given up: none of them is due any more."""
    edited = [row.edits_id for row in rows if row.edits_id is not None]
    originals, under_way = _originals(edited), _edits_under_way(edited, now)
    states = reachability_of({row.chat_id for row in rows})
    until = now + LEASE
    claimed = []
    waiting: dict[datetime, list[int]] = {}
    orphaned: list[int] = []
    unreachable: dict[Reachability, list[int]] = {}
    for row in rows:
        message_id: int | None = None
        if row.edits_id is not None:
            original = originals.get(row.edits_id)
            message_id = original.telegram_message_id if original else None
            if message_id is None:
                if original is not None and original.status in WAITING:
                    again = max(now + WAIT_FOR_ORIGINAL, original.due_at)
                    waiting.setdefault(again, []).append(row.id)
                else:
                    orphaned.append(row.id)
                continue
            if any(row.id > before for before in under_way.get(row.edits_id, ())):
                waiting.setdefault(now + WAIT_FOR_ORIGINAL, []).append(row.id)
                continue
        state = states.get(row.chat_id, Reachability.UNKNOWN)
        if not state.is_open and row.priority > Priority.DECISION:
            unreachable.setdefault(state, []).append(row.id)
            continue
        claimed.append(
            Outgoing(
                id=row.id,
                chat_id=row.chat_id,
                text=row.text,
                buttons=row.buttons,
                edits_message_id=message_id,
                priority=row.priority,
                reachability=state,
                leased_until=until,
            )
        )
    for again, ids in waiting.items():
        _set(ids, due_at=again)
    _set(orphaned, status=Status.CANCELLED)
    for state, ids in unreachable.items():
        _set(ids, status=Status.UNREACHABLE, last_error=state.value)
    # Not FAILED any more: that is a pause after a failure, which the end of the trouble cuts short.
    leased = [out.id for out in claimed]
    _set(leased, status=Status.NEW, due_at=until, attempts=Notification.attempts + 1)
    return claimed


def _edits_under_way(original_ids: list[int], now: datetime) -> dict[int, list[int]]:
    """Original → its edits that somebody may be sending: leased, though perhaps superseded since.
    Whatever is edited into the same message later waits, or the older one might come last."""
    if not original_ids:
        return {}
    edits = select(Notification.edits_id, Notification.id).where(
        Notification.edits_id.in_(original_ids),
        Notification.status.in_((Status.NEW, Status.CANCELLED)),
        Notification.attempts > 0,
        Notification.due_at > now,
    )
    found: dict[int, list[int]] = {}
    for original_id, edit_id in session().execute(edits):
        found.setdefault(original_id or 0, []).append(edit_id)
    return found


def _set(ids: list[int], **values: Any) -> None:
    """The same change for rows that the running transaction has locked."""
    if ids:
        session().execute(update(Notification).where(Notification.id.in_(ids)).values(**values))


def _originals(ids: list[int]) -> dict[int, Any]:
    if not ids:
        return {}
    rows = session().execute(
        select(
            Notification.id,
            Notification.status,
            Notification.due_at,
            Notification.telegram_message_id,
        ).where(Notification.id.in_(ids))
    )
    return {row.id: row for row in rows}


@cache
def _sent_statement(count: int) -> Prepared:
    """For so many messages. One in flight may be held or cancelled meanwhile; that it left is a
    fact all the same."""
    ids = [bindparam(f"id_{n}", type_=BigInteger) for n in range(count)]
    told = [bindparam(f"told_{n}", type_=BigInteger) for n in range(count)]
    told_id: ColumnElement[int] = told[0]
    if count > 1:
        by_id = case(*((Notification.id == i, t) for i, t in zip(ids, told, strict=True)))
        told_id = cast(by_id, BigInteger)
    statement = (
        update(Notification)
        .where(Notification.id.in_(ids), Notification.status != Status.SENT)
        .values(
            status=Status.SENT,
            sent_at=bindparam("at", type_=Notification.sent_at.type),
            telegram_message_id=told_id,
            last_error=None,
        )
    )
    return Prepared(f"notifications_sent_{count}", statement)


_THEIR_EDITS = (
    update(Notification)
    .where(
        Notification.edits_id.in_(bindparam("ids", expanding=True)),
        Notification.status.in_(WAITING),
    )
    .values(due_at=bindparam("at"))
)


def record_sent(sent: Sequence[Sent]) -> None:
    """The messages left. One statement, a transaction by itself, and one more for questions: what
    is to be edited into them need not wait any longer."""
    now = clock.now()
    values: dict[str, Any] = {"at": now}
    for number, one in enumerate(sent):
        values |= {f"id_{number}": one.out.id, f"told_{number}": one.message_id}
    write_prepared(_sent_statement(len(sent)), values)
    count_messages("sent", len(sent))
    questions = [one.out.id for one in sent if one.out.buttons and one.message_id is not None]
    if questions:
        write_one(_THEIR_EDITS, {"ids": questions, "at": now})


def note_reached(sent_ids: Collection[int]) -> None:
    """The chats of these messages can be written to, unless Telegram has said otherwise since they
    left. May run twice."""
    chats = (
        select(Notification.chat_id, func.max(Notification.sent_at))
        .where(Notification.id.in_(sent_ids), Notification.sent_at.is_not(None))
        .group_by(Notification.chat_id)
    )
    note_enabled(chats)


def record_refused(out: Outgoing, why: str) -> None:
    """It will never leave: refused for good. Publishes MessageGivenUp."""
    if _record(out, status=Status.DEAD, last_error=why[:500]):
        count_messages("dead")
        publish(MessageGivenUp(notification_id=out.id))


def record_unreachable(out: Outgoing, state: Reachability, why: str) -> None:
    """The recipient blocked the bot, is gone or never started it; later messages are not tried."""
    _record(out, status=Status.UNREACHABLE, last_error=why[:500])
    count_messages("unreachable")
    note_reachability(out.chat_id, state)


def record_failed(out: Outgoing, why: str) -> None:
    """It may leave later: tried again with back-off, given up after 24 h: MessageGivenUp is
    published then. Nothing when the lease is another's by now."""
    row = session().get_one(Notification, out.id, populate_existing=True)
    again = next_attempt(row.attempts, row.created_at, clock.now())
    if again is None:
        if _end_lease(out, status=Status.DEAD, last_error=why[:500]):
            count_messages("dead")
            publish(MessageGivenUp(notification_id=out.id))
    else:
        count_messages("failed")
        _end_lease(out, status=Status.FAILED, due_at=again, last_error=why[:500])


def release(claimed: Sequence[Outgoing]) -> None:
    """Give leases back: the rows are due at once, and it was no attempt."""
    now = clock.now()
    for out in claimed:
        _end_lease(out, due_at=now, attempts=Notification.attempts - 1)


def put_off(
    claimed: Sequence[Outgoing], chat_id: int, wait_seconds: float, step_seconds: float
) -> None:
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
    for number, out in enumerate(claimed):
        _end_lease(
            out,
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


def _end_lease(out: Outgoing, **values: Any) -> bool:
    """Change a row as long as the lease is still the one of this claim."""
    done = session().execute(
        update(Notification)
        .where(
            Notification.id == out.id,
            Notification.status.in_(WAITING),
            Notification.due_at == out.leased_until,
        )
        .values(**values)
    )
    _free_later_edits(out)
    return bool(done.rowcount)  # type: ignore[attr-defined]


def _record(out: Outgoing, **values: Any) -> bool:
    done = session().execute(
        update(Notification)
        .where(Notification.id == out.id, Notification.status.in_(WAITING))
        .values(**values)
    )
    _free_later_edits(out)
    return bool(done.rowcount)  # type: ignore[attr-defined]


def _free_later_edits(out: Outgoing) -> None:
    """An edit that was superseded while it was sent, and did not leave, holds up nothing more."""
    if out.edits_message_id is not None:
        session().execute(
            update(Notification)
            .where(
                Notification.id == out.id,
                Notification.status == Status.CANCELLED,
                Notification.due_at == out.leased_until,
            )
            .values(due_at=clock.now())
        )
