"""Keeping webhooks, and running one again."""

from __future__ import annotations

from manga_backend.kernel.backoffice.service import record_audit
from manga_backend.kernel.backoffice.types import Actor
from manga_backend.kernel.money.gateways.models import Webhook
from manga_backend.kernel.money.gateways.types import Incoming
from manga_backend.kit import clock
from manga_backend.kit.db import insert_or, session
from manga_backend.kit.jobs import wake

HANDLE = "gateways.handle"


def keep(source: str, incoming: Incoming, body: str) -> None:
    """Store an event once, however often and from how many sides at once it is delivered, and have
    it handled after the commit."""
    new = {
        "source": source,
        "event_id": incoming.event_id,
        "order_id": incoming.checkout.order_id[:128],
        "body": body,
        "received_at": clock.now(),
        "deliveries": 1,
        "attempts": 0,
    }
    session().execute(
        insert_or(Webhook)
        .values(new)
        .on_conflict_do_update(
            index_elements=[Webhook.source, Webhook.event_id],
            set_={"deliveries": Webhook.deliveries + 1},
        )
    )
    wake(HANDLE)


def replay(webhook: Webhook, actor: Actor) -> None:
    """By an admin: handle it again. Harmless: what it tells is asked of the provider. Audited."""
    webhook.handled_at = None
    session().flush()
    record_audit(actor, "webhook.replayed", "webhook", webhook.id)
    wake(HANDLE)
