"""Broadcasts, and how far the outbox was filled for each."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, Integer
from sqlalchemy.orm import Mapped, mapped_column

from manga_backend.kernel.broadcasts.types import Audience, State
from manga_backend.kit.db import Model, enum_type, new_id, partial_index

STEPS: dict[State, frozenset[State]] = {
    State.DRAFT: frozenset({State.RUNNING, State.CANCELLED}),
    State.RUNNING: frozenset({State.PAUSED, State.FINISHED, State.CANCELLED}),
    State.PAUSED: frozenset({State.RUNNING, State.CANCELLED}),
    State.FINISHED: frozenset(),
    State.CANCELLED: frozenset(),
}
"""From which state a broadcast may step to which."""


class Broadcast(Model):
    """One message to an audience; users are taken in the order of their ids up to `cursor`."""

    __tablename__ = "broadcasts"
    __table_args__ = (
        CheckConstraint(
            "state IN ('draft', 'cancelled') OR started_at IS NOT NULL", name="started_has_time"
        ),
        CheckConstraint(
            "(state IN ('finished', 'cancelled')) = (finished_at IS NOT NULL)",
            name="ended_has_time",
        ),
        partial_index("ix_broadcasts_running", "id", where="state = 'running'"),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    texts: Mapped[dict[str, Any]]
    """Language → Telegram HTML."""
    audience: Mapped[Audience] = mapped_column(enum_type(Audience, "audience"))
    product: Mapped[str | None]
    language: Mapped[str | None]
    state: Mapped[State] = mapped_column(enum_type(State, "state"), default=State.DRAFT)
    cursor: Mapped[int] = mapped_column(default=0)
    """The id of the last user for whom a message was queued."""
    audience_size: Mapped[int | None] = mapped_column(Integer)
    """How many users it was for when it was started."""
    outcome: Mapped[dict[str, Any] | None]
    """Status → how many messages, when it ended: the messages themselves are forgotten in time."""
    created_by: Mapped[str]
    created_by_label: Mapped[str]
    created_at: Mapped[datetime]
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
