"""Edits that have not left, when a newer one comes."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import case, literal, update

from manga_backend.kernel.notifications.models import Notification
from manga_backend.kernel.notifications.queries import WAITING
from manga_backend.kernel.notifications.service.outbox import edit_message
from manga_backend.kernel.notifications.types import Status
from manga_backend.kernel.telegram.types import Message
from manga_backend.kit import clock
from manga_backend.kit.db import session


def supersede_edits(original_ids: Collection[int]) -> None:
    """What was to be edited into these messages and has not left never will: before the last word
    is queued, or an older edit that is tried again might come after it. May run twice."""
    now = literal(clock.now(), Notification.due_at.type)
    lease_or_now = case((Notification.status == Status.FAILED, now), else_=Notification.due_at)
    session().execute(
        update(Notification)
        .where(Notification.edits_id.in_(original_ids), Notification.status.in_(WAITING))
        # What is being sent right now keeps its lease, for which the last word waits.
        .values(status=Status.CANCELLED, due_at=lease_or_now)
    )


def edit_anew(original: Notification, message: Message) -> None:
    """Queue new text (and buttons) for a message, in place of edits that have not left."""
    supersede_edits([original.id])
    edit_message(original, message)
