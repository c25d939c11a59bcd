"""The live list: what came, changed or went, read from the database by number."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from manga_backend.kit import clock
from manga_backend.kit.db import reading, transaction
from manga_backend.kit.live import LiveEvent
from manga_backend.products.urgent import queries
from manga_backend.products.urgent.models import Order
from manga_backend.products.urgent.schemas import UrgentListedOrderSchema, as_listed
from manga_backend.products.urgent.types import OrderStatus

SOURCE = "urgent.orders"
KIND = "order"
LATE = timedelta(seconds=30)
"""A change may be committed so long after it got its number: till then it is looked for."""
AT_A_TIME = 500
_shape = UrgentListedOrderSchema()


class OrderFeed:
    """Changes of orders (kit.live.Source). An event tells what the order is now, so one too many
    does no harm."""

    def __init__(self) -> None:
        self._upto: int | None = None
        self._seen: dict[int, datetime] = {}

    def latest(self) -> int:
        with reading(), transaction():
            return queries.last_change_id()

    def replay(self, after: int) -> list[LiveEvent] | None:
        with reading(), transaction():
            at = queries.change_at(after)
            if at is None and after:
                return None
            since = None if at is None else at - LATE
            found = queries.list_changes(after, AT_A_TIME + 1, since=since)
            return None if len(found) > AT_A_TIME else _events(found)

    def news(self) -> list[LiveEvent]:
        now = clock.now()
        with reading(), transaction():
            begins = self._upto is None
            upto = queries.last_change_id() if self._upto is None else self._upto
            found = queries.list_changes(upto, AT_A_TIME, since=now - LATE)
            fresh = [change for change in found if change[0] not in self._seen]
            events = [] if begins else _events(fresh)
        self._upto = max([upto, *(number for number, _ in found)])
        self._seen = {number: at for number, at in self._seen.items() if at > now - 2 * LATE}
        self._seen |= {number: now for number, _ in fresh}
        return events


def _events(found: Sequence[tuple[int, Order]]) -> list[LiveEvent]:
    """Each order once, by its newest number."""
    newest = {order.id: (number, order) for number, order in found}
    people = queries.persons({order.client_id for _, order in newest.values()})
    now = clock.now()
    events = []
    for number, order in sorted(newest.values(), key=lambda pair: pair[0]):
        seen: dict[str, Any] = {"id": order.id, "status": order.status.value}
        if order.status is not OrderStatus.DELETED:
            seen = _shape.dump(as_listed(order, people[order.client_id], now))
        events.append(LiveEvent(number, KIND, json.dumps(seen, ensure_ascii=False)))
    return events
