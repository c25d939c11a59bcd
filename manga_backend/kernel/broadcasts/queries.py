"""Reads of broadcasts, their audiences and their progress."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, select, true

from manga_backend.kernel.broadcasts.domain import percent_done, text_for
from manga_backend.kernel.broadcasts.errors import BroadcastNotFound
from manga_backend.kernel.broadcasts.messages import subject_key
from manga_backend.kernel.broadcasts.models import Broadcast
from manga_backend.kernel.broadcasts.types import Audience, Counts, Preview, Report, State
from manga_backend.kernel.identity import queries as users
from manga_backend.kernel.memberships.queries import subscribed
from manga_backend.kernel.notifications.queries import (
    WAITING,
    count_by_status,
    count_waiting_about,
)
from manga_backend.kernel.notifications.types import Status
from manga_backend.kit import clock
from manga_backend.kit.db import read_one, session
from manga_backend.kit.settings import LANGUAGES, CoreSettings, settings

EXPIRING_WITHIN = timedelta(days=7)


def get_broadcast(broadcast_id: uuid.UUID) -> Broadcast:
    """As it stands in the database now; BroadcastNotFound."""
    found = session().get(Broadcast, broadcast_id, populate_existing=True)
    if found is None:
        raise BroadcastNotFound
    return found


def newest_first() -> Select[Any]:
    """All broadcasts; their ids are in the order of creation."""
    return select(Broadcast).order_by(Broadcast.id.desc())


def is_any_running() -> bool:
    """One cheap statement: what the feeder asks while it is idle."""
    running = select(Broadcast.id).where(Broadcast.state == State.RUNNING).limit(1)
    return read_one(running, {}) is not None


def list_running_ids() -> list[uuid.UUID]:
    """The oldest first."""
    return list(
        session().scalars(
            select(Broadcast.id).where(Broadcast.state == State.RUNNING).order_by(Broadcast.id)
        )
    )


def list_cancelled_since(moment: datetime) -> list[Broadcast]:
    """Cancelled ones whose messages can still be counted."""
    return list(
        session().scalars(
            select(Broadcast).where(
                Broadcast.state == State.CANCELLED,
                Broadcast.started_at.is_not(None),
                Broadcast.finished_at >= moment,
            )
        )
    )


def _aimed_at(
    audience: Audience, product: str | None, at: datetime, user_id: ColumnElement[int]
) -> ColumnElement[bool]:
    """Whether a user belongs to an audience, by their subscriptions of the product or of any."""
    active = subscribed(user_id, product=product, ends_after=at)
    if audience is Audience.ACTIVE:
        return active
    if audience is Audience.EXPIRING:
        soon = at + EXPIRING_WITHIN
        return subscribed(user_id, product=product, ends_after=at, ends_by=soon)
    if audience is Audience.EXPIRED:
        return and_(subscribed(user_id, product=product, ends_by=at), ~active)
    return subscribed(user_id, product=product) if product else true()


def _contacts(broadcast: Broadcast) -> Select[Any]:
    """Its audience. Once started, by the time it was: who registers later is left out, and whoever
    pays meanwhile may leave the expiring and the expired."""
    at = broadcast.started_at or clock.now()
    return users.contacts(
        where=lambda user_id: _aimed_at(broadcast.audience, broadcast.product, at, user_id),
        language=broadcast.language,
        registered_by=at,
    )


def count_audience(broadcast: Broadcast) -> int:
    """How many users it is for, those whose turn has come already included."""
    return users.count_contacts(_contacts(broadcast))


def find_next_slice(broadcast: Broadcast, limit: int) -> tuple[int, int]:
    """Whose turn is next: the last user's id, and how many they are."""
    return users.find_slice(_contacts(broadcast), after=broadcast.cursor, limit=limit)


def contacts_upto(broadcast: Broadcast, user_id: int) -> Select[Any]:
    """Those after the cursor, up to this user."""
    return users.slice_of(_contacts(broadcast), after=broadcast.cursor, upto=user_id)


def count_waiting(broadcast_id: uuid.UUID) -> int:
    """How many of its messages have not left."""
    return count_waiting_about(subject_key(broadcast_id))


def preview(broadcast: Broadcast) -> Preview:
    """What would happen if it were started now."""
    default = settings(CoreSettings).default_language
    shown = (broadcast.language,) if broadcast.language else LANGUAGES
    texts = {code: text_for(broadcast.texts, code, default) for code in shown}
    return Preview(count_audience(broadcast), texts)


def report(broadcast: Broadcast) -> Report:
    """With its counts: two queries more while it is on its way, one when it has ended."""
    counts = _counts(broadcast)
    return Report(
        id=broadcast.id,
        texts=broadcast.texts,
        audience=broadcast.audience,
        product=broadcast.product,
        language=broadcast.language,
        state=broadcast.state,
        created_by_label=broadcast.created_by_label,
        created_at=broadcast.created_at,
        started_at=broadcast.started_at,
        finished_at=broadcast.finished_at,
        counts=counts,
        percent=percent_done(counts, finished=broadcast.state is State.FINISHED),
    )


def fates(broadcast: Broadcast) -> dict[str, int]:
    """Status → how many of its messages; for an ended one, whose messages are being forgotten, as
    it was at the end."""
    found = {s.value: count for s, count in count_by_status(subject_key(broadcast.id)).items()}
    known = broadcast.outcome or {}
    return known if sum(known.values()) > sum(found.values()) else found


def _counts(broadcast: Broadcast) -> Counts:
    if broadcast.started_at is None:
        audience = count_audience(broadcast)
        return Counts(audience, 0, 0, 0, 0, 0, 0, left=audience)
    by_status = fates(broadcast)
    left = 0
    if broadcast.state is not State.FINISHED:
        left = users.count_contacts(_contacts(broadcast), after=broadcast.cursor)
    return Counts(
        audience=broadcast.audience_size or 0,
        queued=sum(by_status.values()),
        sent=by_status.get(Status.SENT, 0),
        blocked=by_status.get(Status.UNREACHABLE, 0),
        failed=by_status.get(Status.DEAD, 0),
        waiting=sum(by_status.get(status, 0) for status in (*WAITING, Status.HELD)),
        cancelled=by_status.get(Status.CANCELLED, 0),
        left=left,
    )
