"""The live list: what came, changed or went, read from the database by number."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime, timedelta

from manga_backend.kit import clock
from manga_backend.kit.db import reading, transaction
from manga_backend.kit.live import LiveEvent
from manga_backend.products.urgent import queries
from manga_backend.products.urgent.models import Order
from manga_backend.products.urgent.schemas import UrgentListedOrderSchema, as_listed
from manga_backend.products.urgent.service.closing import KEEP_CHANGES

SOURCE = "urgent.orders"
KIND = "order"
LATE = timedelta(seconds=30)
"""A change may be committed so long after it got its number: till then it is looked for."""
AT_A_TIME = 500
KEPT = KEEP_CHANGES - timedelta(minutes=5)
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

    def replay(self, after: int, at: datetime) -> list[LiveEvent] | None:
        if at < clock.now() - KEPT:
            return None
        with reading(), transaction():
            found = queries.changes_after(after, AT_A_TIME + 1)
            if len(found) > AT_A_TIME:
                return None
            late = queries.changes_before(after - 1, at - LATE)
            return _events(queries.list_changed([*late, *found]))

    def news(self) -> list[LiveEvent]:
        now = clock.now()
        with reading(), transaction():
            if self._upto is None:
                self._upto = queries.last_change_id()
                self._seen = dict.fromkeys(queries.changes_before(self._upto, now - LATE), now)
                return []
            late = queries.changes_before(self._upto, now - LATE)
            missed = [number for number in late if number not in self._seen]
            found = queries.changes_after(self._upto, AT_A_TIME)
            events = _events(queries.list_changed([*missed, *found])) if missed or found else []
        self._upto = max([self._upto, *found])
        self._seen = {number: at for number, at in self._seen.items() if at > now - 2 * LATE}
        self._seen |= dict.fromkeys([*missed, *found], now)
        return events


def _events(found: Sequence[tuple[int, Order]]) -> list[LiveEvent]:
    """Each order once, by its newest number."""
    newest = {order.id: (number, order) for number, order in found}
    people = queries.persons({order.client_id for _, order in newest.values()})
    now = clock.now()
    events = []
    for number, order in sorted(newest.values(), key=lambda pair: pair[0]):
        seen = _shape.dump(as_listed(order, people[order.client_id], now))
        events.append(LiveEvent(number, KIND, json.dumps(seen, ensure_ascii=False)))
    return events
