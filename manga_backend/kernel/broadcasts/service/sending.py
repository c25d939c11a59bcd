"""Starting, pausing, resuming and cancelling a broadcast, and feeding the outbox with it."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

from sqlalchemy import select, update

from manga_backend.kernel.backoffice.service import record_audit
from manga_backend.kernel.backoffice.types import Actor
from manga_backend.kernel.broadcasts import queries
from manga_backend.kernel.broadcasts.domain import texts_by_language
from manga_backend.kernel.broadcasts.errors import StepNotAllowed
from manga_backend.kernel.broadcasts.events import BroadcastEnded
from manga_backend.kernel.broadcasts.messages import KIND, subject_key
from manga_backend.kernel.broadcasts.models import STEPS, Broadcast
from manga_backend.kernel.broadcasts.types import State
from manga_backend.kernel.notifications.service import bulk
from manga_backend.kernel.notifications.settings import NotificationSettings
from manga_backend.kit import clock
from manga_backend.kit.db import read_in_index_order, session
from manga_backend.kit.events import publish
from manga_backend.kit.settings import CoreSettings, settings

CHUNK = 500
CHUNK_SECONDS = 5
"""Users of one transaction, at least and in time: what a kill -9 has done again, how long a pause
has to wait, and more than goes until the feeder looks."""
SETTLES_WITHIN = timedelta(days=2)
AHEAD_SECONDS = 10
"""How much sending waits in the outbox: enough to survive a pause of the feeder, and little enough
that a broadcast fills no table before its time."""


def start(broadcast_id: uuid.UUID, actor: Actor) -> Broadcast:
    """Queue the first users at once and let the feeder go on. However often and from wherever it is
    called, it starts once; StepNotAllowed for all calls after the first."""
    broadcast = queries.get_broadcast(broadcast_id)
    size = queries.count_audience(broadcast)
    return _step(
        broadcast_id,
        State.DRAFT,
        State.RUNNING,
        actor,
        "broadcast.started",
        started_at=clock.now(),
        audience_size=size,
    )


def pause(broadcast_id: uuid.UUID, actor: Actor) -> Broadcast:
    """Nothing more leaves, but what is on its way to Telegram. StepNotAllowed."""
    return _step(broadcast_id, State.RUNNING, State.PAUSED, actor, "broadcast.paused")


def resume(broadcast_id: uuid.UUID, actor: Actor) -> Broadcast:
    """Go on where it was paused. StepNotAllowed."""
    return _step(broadcast_id, State.PAUSED, State.RUNNING, actor, "broadcast.resumed")


def cancel(broadcast_id: uuid.UUID, actor: Actor) -> Broadcast:
    """For good; what has been sent stays sent. StepNotAllowed when it has ended."""
    action, now = "broadcast.cancelled", clock.now()
    return _step(broadcast_id, None, State.CANCELLED, actor, action, finished_at=now)


def _step(
    broadcast_id: uuid.UUID,
    before: State | None,
    after: State,
    actor: Actor,
    action: str,
    **values: Any,
) -> Broadcast:
    """One conditional UPDATE, from `before` or from whatever STEPS allows, then the outbox.

    It waits for a feeder that holds the row, and so sees all that was queued.
    """
    allowed = [state for state in State if after in STEPS[state] and before in (None, state)]
    moved = session().execute(
        update(Broadcast)
        .where(Broadcast.id == broadcast_id, Broadcast.state.in_(allowed))
        .values(state=after, **values)
        .execution_options(synchronize_session=False)
    )
    broadcast = queries.get_broadcast(broadcast_id)
    if moved.rowcount == 0:  # type: ignore[attr-defined]
        raise StepNotAllowed(broadcast.state)
    if after is State.PAUSED:
        bulk.hold(subject_key(broadcast_id))
    elif before is State.PAUSED:
        bulk.release(subject_key(broadcast_id))
    elif before is State.DRAFT:
        feed_next(broadcast_id, _most_ahead())
    elif after is State.CANCELLED:
        bulk.cancel(subject_key(broadcast_id))
        _note_end(broadcast)
    record_audit(
        actor,
        action,
        "broadcast",
        broadcast_id,
        after={"state": after.value, "audience": broadcast.audience_size},
    )
    return broadcast


def _note_end(broadcast: Broadcast) -> None:
    broadcast.outcome = queries.fates(broadcast)
    session().flush()
    publish(BroadcastEnded(broadcast_id=broadcast.id))


def settle_outcomes() -> None:
    """Count anew what became of the messages of broadcasts that were cancelled lately: those in
    flight then have left since. May run twice."""
    since = clock.now() - SETTLES_WITHIN
    for broadcast in queries.list_cancelled_since(since):
        counted = queries.fates(broadcast)
        if counted != broadcast.outcome:
            broadcast.outcome = counted
            session().flush()
            publish(BroadcastEnded(broadcast_id=broadcast.id))


def _most_ahead() -> int:
    """How many messages of one broadcast may wait in the outbox."""
    return settings(NotificationSettings).per_second * AHEAD_SECONDS


def feed_next(broadcast_id: uuid.UUID, room: int | None = None) -> int:
    """Queue the next users of a running broadcast and move its cursor, both in this transaction.

    Returns how many more may be queued at once, 0 when it is enough for now. `room` is what the
    call before returned; without it the waiting messages are counted. Holds the broadcast's row, so
    that any number may feed and no user is queued twice. Finishes it when nobody is left and
    nothing waits.
    """
    current = session()
    broadcast = current.scalar(
        select(Broadcast)
        .where(Broadcast.id == broadcast_id, Broadcast.state == State.RUNNING)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    if broadcast is None:
        return 0
    waiting = queries.count_waiting(broadcast_id) if room is None else None
    if waiting is not None:
        room = _most_ahead() - waiting
    if room is None or room <= 0:
        return 0
    read_in_index_order()
    chunk = max(CHUNK, settings(NotificationSettings).per_second * CHUNK_SECONDS)
    last_id, count = queries.find_next_slice(broadcast, min(room, chunk))
    if count:
        default = settings(CoreSettings).default_language
        bulk.queue_bulk(
            queries.contacts_upto(broadcast, last_id),
            texts_by_language(broadcast.texts, default),
            default,
            kind=KIND,
            subject=subject_key(broadcast_id),
        )
        broadcast.cursor = last_id
    elif waiting == 0:
        broadcast.state, broadcast.finished_at = State.FINISHED, clock.now()
        _note_end(broadcast)
    current.flush()
    return room - count if count else 0
