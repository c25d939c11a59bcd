"""Keeping webhooks, handling them, and running one again."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.exc import OperationalError

from manga_backend.kernel.backoffice.service import record_audit
from manga_backend.kernel.backoffice.types import Actor
from manga_backend.kernel.money.gateways.models import Webhook
from manga_backend.kernel.money.gateways.queries import list_waiting
from manga_backend.kernel.money.gateways.types import Checkout, Incoming, Remittance
from manga_backend.kit import clock
from manga_backend.kit.db import insert_or, session
from manga_backend.kit.jobs import wake
from manga_backend.kit.registry import Registry

log = logging.getLogger(__name__)

HANDLE = "gateways.handle"
BATCH = 50
KEPT_FOR = timedelta(days=180)

settlers: Registry[Callable[[Any], str]] = Registry("gateways.settlers")
"""`Checkout`, `Remittance`: what is done when the provider tells of one; gives what was done, in
words for admins. May be called twice for the same word."""


def keep(source: str, incoming: Incoming, body: str) -> None:
    """Store an event once, however often and from how many sides at once it is delivered, and have
    it handled after the commit."""
    new = {
        "source": source,
        "event_id": incoming.event_id,
        "order_id": incoming.about.order_id[:128],
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


def settle(about: Checkout | Remittance) -> str:
    """Have the package that asked for it do what the provider's word means."""
    return settlers[type(about).__name__](about)


def handle_stored(read: Callable[[bytes], Incoming | None]) -> int:
    """Handle a batch of stored webhooks; `read` makes one of a body again. Returns how many were
    looked at. May run twice and at once: each is locked, and settling is harmless. One at which
    something breaks keeps no other from being handled; an admin may run it again."""
    waiting = list_waiting(BATCH)
    for webhook in waiting:
        webhook.attempts += 1
        try:
            with session().begin_nested():
                incoming = read(webhook.body.encode())
                outcome = settle(incoming.about) if incoming else "not signed with our key"
        except OperationalError:
            raise
        except Exception:
            log.exception("the webhook %s could not be handled", webhook.id)
            outcome = "it could not be handled: see the log"
        webhook.outcome = outcome
        webhook.handled_at = clock.now()
    session().flush()
    return len(waiting)


def forget_old() -> int:
    """Delete a batch of webhooks that were handled long ago; returns how many. Harmless: what would
    come again is handled again, and finds nothing to do."""
    old = select(Webhook.id).where(
        Webhook.handled_at.is_not(None), Webhook.received_at < clock.now() - KEPT_FOR
    )
    found = list(session().scalars(old.order_by(Webhook.id).limit(BATCH)))
    session().execute(delete(Webhook).where(Webhook.id.in_(found)))
    return len(found)


def replay(webhook: Webhook, actor: Actor) -> None:
    """By an admin: handle it again, as it came. Harmless: what was done before is not done a second
    time. Audited."""
    webhook.handled_at = None
    session().flush()
    record_audit(actor, "webhook.replayed", "webhook", webhook.id)
    wake(HANDLE)
