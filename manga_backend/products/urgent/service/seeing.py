"""Who may see what of an order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from manga_backend.products.urgent import queries
from manga_backend.products.urgent.errors import OrderNotFound
from manga_backend.products.urgent.models import Order, Profile, Take
from manga_backend.products.urgent.types import OrderStatus, Person


@dataclass(frozen=True, slots=True)
class Seen:
    """An order as one person may see it: with the contact or without, and for its client with who
    took it."""

    order: Order
    client: Person
    sees_contact: bool
    takes: Sequence[Take] | None = None
    people: Mapping[int, Person] | None = None
    profiles: Mapping[int, Profile] | None = None


def order_seen_by(order: Order, viewer_id: int | None) -> Seen:
    """For its client, for whoever paid and did not get the money back, or for all others.
    OrderNotFound for a deleted one of others."""
    takes = queries.list_takes([order.id])[order.id] if order.executors_count else []
    mine = next((take for take in takes if take.executor_id == viewer_id), None)
    if order.client_id == viewer_id:
        return _for_client([order], {order.id: takes})[0]
    if order.status is OrderStatus.DELETED and mine is None:
        raise OrderNotFound
    client = queries.persons([order.client_id])[order.client_id]
    return Seen(order, client, sees_contact=mine is not None and mine.refunded_at is None)


def own_orders_seen(orders: Sequence[Order]) -> list[Seen]:
    """Orders of one client, by that client; as many queries for many as for one."""
    return _for_client(orders, queries.list_takes([order.id for order in orders]))


def _for_client(orders: Sequence[Order], takes: Mapping[str, Sequence[Take]]) -> list[Seen]:
    executors = {take.executor_id for each in takes.values() for take in each}
    people = queries.persons({*executors, *(order.client_id for order in orders)})
    profiles = queries.find_profiles(executors) if executors else {}
    return [
        Seen(order, people[order.client_id], True, takes[order.id], people, profiles)
        for order in orders
    ]


def taken_orders_seen(takes: Sequence[Take]) -> list[tuple[Take, Seen]]:
    """What one executor took, by that executor; as many queries for many as for one."""
    orders = queries.find_orders([take.order_id for take in takes])
    clients = queries.persons({order.client_id for order in orders.values()})
    seen = []
    for take in takes:
        order = orders[take.order_id]
        sees = take.refunded_at is None
        seen.append((take, Seen(order, clients[order.client_id], sees_contact=sees)))
    return seen
