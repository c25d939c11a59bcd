"""Reads of webhooks."""

from __future__ import annotations

from sqlalchemy import select

from manga_backend.kernel.money.gateways.models import Webhook
from manga_backend.kit.db import session


def list_waiting(limit: int) -> list[Webhook]:
    """Not handled yet, the oldest first; locked, those that others hold are passed over."""
    return list(
        session().scalars(
            select(Webhook)
            .where(Webhook.handled_at.is_(None))
            .order_by(Webhook.id)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
    )


def find_webhook(webhook_id: int) -> Webhook | None:
    """By our number."""
    return session().get(Webhook, webhook_id)
