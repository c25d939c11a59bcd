"""What providers told us, as it came."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Integer, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from manga_backend.kit.db import BigId, Model, partial_index


class Webhook(Model):
    """One event of a provider, stored before it is handled; its id makes a second delivery
    harmless."""

    __tablename__ = "gateway_webhooks"
    __table_args__ = (
        UniqueConstraint("source", "event_id"),
        partial_index("ix_gateway_webhooks_waiting", "id", where="handled_at IS NULL"),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    source: Mapped[str]
    event_id: Mapped[str]
    order_id: Mapped[str]
    body: Mapped[str]
    received_at: Mapped[datetime]
    deliveries: Mapped[int] = mapped_column(Integer, default=1)
    attempts: Mapped[int] = mapped_column(Integer, default=0)
    handled_at: Mapped[datetime | None]
    outcome: Mapped[str | None]
    """What came of it, in a few words for admins."""
