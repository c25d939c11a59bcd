"""Writing the audit log."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from sqlalchemy import select

from manga_backend.kernel.backoffice.domain import GENESIS, chain_hash
from manga_backend.kernel.backoffice.models import AuditEntry
from manga_backend.kernel.backoffice.types import Actor, CardSource, ChartSource, Gate
from manga_backend.kit import clock
from manga_backend.kit.db import serialize_on, session
from manga_backend.kit.registry import Registry

gates: Registry[Gate] = Registry("backoffice.gate")
"""`panel`: who is signed in."""

cards: Registry[CardSource] = Registry("backoffice.cards")
"""The dashboard's numbers, by the right to see them."""


charts: Registry[ChartSource] = Registry("backoffice.charts")
"""The dashboard's charts, by the right to see them."""


def record_audit(
    actor: Actor,
    action: str,
    subject_type: str,
    subject_id: object,
    *,
    before: dict[str, Any] | None = None,
    after: dict[str, Any] | None = None,
) -> AuditEntry:
    """Append one row in the running transaction.

    Takes the lock of the whole chain until the transaction ends, so call it last. `before` and
    `after` hold JSON values and never a secret.
    """
    serialize_on("audit")
    current = session()
    last = current.execute(
        select(AuditEntry.id, AuditEntry.hash).order_by(AuditEntry.id.desc()).limit(1)
    ).first()
    number, previous = (last.id + 1, last.hash) if last else (1, GENESIS)
    at = clock.now()
    fields: dict[str, Any] = {
        "actor": actor.key,
        "actor_label": actor.label,
        "channel": actor.channel.value,
        "address": actor.address,
        "action": action,
        "subject_type": subject_type,
        "subject_id": str(subject_id),
        "before": _plain(before),
        "after": _plain(after),
    }
    entry = AuditEntry(
        id=number,
        at=at,
        previous_hash=previous,
        hash=chain_hash(previous, number, at, fields),
        **fields,
    )
    current.add(entry)
    current.flush()
    return entry


def _plain(values: dict[str, Any] | None) -> dict[str, Any] | None:
    """As the database will give it back, so that the hash can be checked from the row."""
    return None if values is None else dict(json.loads(json.dumps(values, default=_as_text)))


def _as_text(value: object) -> str:
    return clock.isoformat(value) if isinstance(value, datetime) else str(value)
