"""Edits that have not left, when a newer one comes."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import update

from manga_backend.kernel.notifications.models import Notification
from manga_backend.kernel.notifications.queries import WAITING
from manga_backend.kernel.notifications.types import Status
from manga_backend.kit.db import session


def supersede_edits(original_ids: Collection[int]) -> None:
    """What was to be edited into these messages and has not left never will: before the last word
    is queued, or an older edit that is tried again might come after it. May run twice."""
    session().execute(
        update(Notification)
        .where(Notification.edits_id.in_(original_ids), Notification.status.in_(WAITING))
        .values(status=Status.CANCELLED)
    )
