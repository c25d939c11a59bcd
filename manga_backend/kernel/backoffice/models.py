"""The audit log: append-only rows in one hash chain."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, Index, Text
from sqlalchemy.orm import Mapped, mapped_column

from manga_backend.kernel.backoffice.types import Channel
from manga_backend.kit.db import BigId, Model, enum_type


class AuditEntry(Model):
    """Who did what to what, before and after, from where; a trigger refuses change and removal."""

    __tablename__ = "audit_entries"
    __table_args__ = (
        CheckConstraint("length(hash) = 64", name="hash_length"),
        Index(None, "subject_type", "subject_id"),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=False)
    at: Mapped[datetime] = mapped_column(index=True)
    actor: Mapped[str] = mapped_column(Text, index=True)
    actor_label: Mapped[str]
    channel: Mapped[Channel] = mapped_column(enum_type(Channel, "channel"))
    address: Mapped[str | None]
    action: Mapped[str] = mapped_column(Text, index=True)
    subject_type: Mapped[str]
    subject_id: Mapped[str]
    before: Mapped[dict[str, Any] | None]
    after: Mapped[dict[str, Any] | None]
    previous_hash: Mapped[str]
    hash: Mapped[str] = mapped_column(Text, unique=True)
