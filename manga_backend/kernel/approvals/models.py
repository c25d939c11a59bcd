"""Questions that need a person."""

from __future__ import annotations

import uuid
from datetime import datetime

from sqlalchemy import CheckConstraint, SmallInteger, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from manga_backend.kernel.approvals.types import State
from manga_backend.kit.db import Model, enum_type, new_id, partial_index


class Approval(Model):
    """One question about one subject, decided at most once."""

    __tablename__ = "approvals"
    __table_args__ = (
        UniqueConstraint("kind", "subject_id"),
        CheckConstraint("(state = 'pending') = (decided_at IS NULL)", name="decided_has_time"),
        CheckConstraint("(decided_at IS NULL) = (decided_by IS NULL)", name="decided_has_actor"),
        partial_index("ix_approvals_pending", "id", where="state = 'pending'"),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_id)
    kind: Mapped[str]
    subject_id: Mapped[str]
    state: Mapped[State] = mapped_column(enum_type(State, "state"), default=State.PENDING)
    created_at: Mapped[datetime]
    decided_at: Mapped[datetime | None]
    decided_by: Mapped[str | None]
    decided_by_label: Mapped[str | None]
    reason: Mapped[str | None]
    first_by: Mapped[str | None]
    """Who approved what two admins must approve; another one's decision is still needed."""
    first_by_label: Mapped[str | None]
    first_option: Mapped[str | None]
    """The other way in which the first of them approved it: the second must mean the same."""
    changed_at: Mapped[datetime | None]
    """When more came to be known of it: the chain's word, a first approval."""
    reminders: Mapped[int] = mapped_column(SmallInteger, default=0, server_default="0")
    asked_at: Mapped[datetime | None]
    """When admins were last sent fresh buttons; null until the first reminder."""
