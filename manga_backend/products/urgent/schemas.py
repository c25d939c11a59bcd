"""Orders, profiles, reviews and recharges in JSON, in the fields of seeds/003."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import marshmallow as ma
from marshmallow import validate

from manga_backend.kernel.identity.domain import MAX_TELEGRAM_ID
from manga_backend.kernel.money.chains.types import Network
from manga_backend.kit import clock
from manga_backend.kit.http import Moment
from manga_backend.kit.i18n import gettext
from manga_backend.products.urgent.domain import (
    as_contact,
    average,
    is_contact,
    minutes_left,
    status_at,
    tidy,
    visible,
)
from manga_backend.products.urgent.models import Complaint, Order, Profile, Review, Take
from manga_backend.products.urgent.service.seeing import Seen
from manga_backend.products.urgent.types import (
    LIFETIME,
    MAX_CHOICES,
    MOST_RUBLES,
    Frequency,
    OrderStatus,
    Person,
    RechargeMethod,
)

MINUTES = int(LIFETIME.total_seconds()) // 60
LISTED = [status.value for status in OrderStatus if status is not OrderStatus.DELETED]
MAX_NAME = 64
POLLED_WITHIN = timedelta(hours=2)


class Lenient(ma.Schema):
    """Unknown fields are ignored: the document's framework does so, and its clients rely on it."""

    class Meta:
        unknown = ma.EXCLUDE


class Line(ma.fields.String):
    """One line without blanks around it; a length is that of what is left."""

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> Any:
        return tidy(super()._deserialize(value, attr, data, **kwargs))


class Contact(Line):
    """The same; the address of somebody's page at Telegram is their @name."""

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> Any:
        return as_contact(super()._deserialize(value, attr, data, **kwargs))


class Prose(ma.fields.String):
    """The same for several lines."""

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> Any:
        return visible(super()._deserialize(value, attr, data, **kwargs))


def _name(example: str, **more: Any) -> Line:
    length = validate.Length(min=1, max=MAX_NAME)
    return Line(validate=length, metadata={"example": example}, **more)


def _contact(**more: Any) -> Contact:
    def check(value: str) -> None:
        if not is_contact(value):
            raise ma.ValidationError(gettext("Must be a phone number or a Telegram @name."))

    meta = {"description": "A phone number or a Telegram @name.", "example": "+7 900 000-00-00"}
    return Contact(validate=[validate.Length(max=32), check], metadata=meta, **more)


def _description(**more: Any) -> Prose:
    meta = {"example": "Кран сорвало, нужен сантехник сейчас"}
    return Prose(validate=validate.Length(min=10, max=2000), metadata=meta, **more)


def _person_id(description: str, *, strict: bool = True, **more: Any) -> ma.fields.Integer:
    return ma.fields.Integer(
        strict=strict,
        validate=validate.Range(min=1, max=MAX_TELEGRAM_ID),
        metadata={"description": description, "example": 700123},
        **more,
    )


def _order_id() -> ma.fields.String:
    return ma.fields.String(
        required=True,
        validate=validate.Length(equal=12),
        metadata={"example": "aB3dE5fG7hJ9"},
    )


class UrgentNewOrderSchema(Lenient):
    category = _name("Сантехника", required=True)
    description = _description(required=True)
    city = _name("Казань", required=True)
    contact = _contact(required=True)
    expires_in_minutes = ma.fields.Integer(
        validate=validate.Equal(MINUTES), metadata={"description": "Always 60."}
    )


class UrgentOrderChangesSchema(Lenient):
    category = _name("Сантехника")
    description = _description()
    city = Line(
        validate=validate.Length(min=1, max=MAX_NAME),
        metadata={"description": "Can't be changed; the same one is accepted."},
    )
    contact = _contact()


class UrgentOrderQuerySchema(Lenient):
    category = _name("Сантехника")
    city = _name("Казань")
    status = ma.fields.String(
        load_default=OrderStatus.ACTIVE.value, validate=validate.OneOf(LISTED)
    )
    q = Line(
        data_key="q",
        validate=validate.Length(min=1, max=100),
        metadata={"description": "Words of category and description; contacts are not searched."},
    )
    since = Moment(
        metadata={
            "description": "Instead of the list: what came, changed or went since then, whatever "
            "its status, the last change first; of these only `city` narrows it, for all else may "
            "have changed. At most two hours ago: whoever was away longer "
            "reads the list. For whoever polls, along with If-None-Match."
        }
    )

    @ma.validates("since")
    def not_long_ago(self, value: datetime, **_: Any) -> None:
        """What is older is no news, and there would be no end of it."""
        if value < clock.now() - POLLED_WITHIN:
            raise ma.ValidationError(gettext("Too long ago: read the list without it."))


class UrgentEventsQuerySchema(Lenient):
    last_event_id = ma.fields.String(
        validate=validate.Length(max=40),
        metadata={"description": "In place of the header Last-Event-ID."},
    )


class UrgentListedOrderSchema(ma.Schema):
    """Of a deleted order, which only `since` and the events tell of, no more than id, status and
    `changed_at`."""

    id = ma.fields.String(required=True, metadata={"example": "aB3dE5fG7hJ9"})
    status = ma.fields.String(required=True, metadata={"example": "active"})
    client_id = ma.fields.Raw(
        metadata={
            "description": "The client's Telegram id for themselves and for executors who paid; "
            "for all others an opaque text.",
            "oneOf": [{"type": "string"}, {"type": "integer"}],
        },
    )
    client_first_name = ma.fields.String()
    category = ma.fields.String()
    description = ma.fields.String()
    city = ma.fields.String()
    city_locked = ma.fields.Boolean(metadata={"description": "Always: a city can't be changed."})
    executors_count = ma.fields.Integer()
    created_at = Moment()
    expires_at = Moment()
    changed_at = Moment(metadata={"description": "The newest that was seen is the next `since`."})
    expires_in_minutes = ma.fields.Integer()
    minutes_left = ma.fields.Integer(metadata={"description": "By the server's clock."})


class UrgentExecutorSchema(ma.Schema):
    executor_id = ma.fields.Integer(required=True, allow_none=True)
    first_name = ma.fields.String(required=True)
    average_rating = ma.fields.Float(required=True, allow_none=True)
    completed_orders_count = ma.fields.Integer(required=True)
    taken_at = Moment(required=True)
    answered_at = Moment(required=True, allow_none=True)
    completed = ma.fields.Boolean(required=True)


class UrgentOrderSchema(UrgentListedOrderSchema):
    contact = ma.fields.String(
        allow_none=True,
        required=True,
        metadata={"description": "For the client, and executors who paid; null for all others."},
    )
    client_username = ma.fields.String(
        allow_none=True, metadata={"description": "For those who see the contact."}
    )
    executors = ma.fields.List(
        ma.fields.Nested(UrgentExecutorSchema), metadata={"description": "For the client alone."}
    )


class UrgentTakenSchema(ma.Schema):
    order = ma.fields.Nested(UrgentOrderSchema, required=True)
    contact = ma.fields.String(required=True)
    balance = ma.fields.Integer(required=True, metadata={"description": "Rubles."})


class UrgentTakeSchema(ma.Schema):
    order = ma.fields.Nested(UrgentOrderSchema, required=True)
    taken_at = Moment(required=True)
    answered_at = Moment(required=True, allow_none=True)
    refunded_at = Moment(required=True, allow_none=True)


class UrgentExecutorIdSchema(Lenient):
    executor_id = _person_id("Telegram id of one who took the order.", required=True)


class UrgentPreferencesSchema(Lenient):
    categories = ma.fields.List(
        _name("Сантехника"), required=True, validate=validate.Length(max=MAX_CHOICES)
    )
    cities = ma.fields.List(
        _name("Казань"), required=True, validate=validate.Length(max=MAX_CHOICES)
    )


class UrgentNotificationSettingsSchema(Lenient):
    frequency = ma.fields.String(
        required=True, validate=validate.OneOf([frequency.value for frequency in Frequency])
    )


class UrgentNewRechargeSchema(Lenient):
    amount = ma.fields.Integer(
        required=True,
        strict=True,
        validate=validate.Range(min=1, max=MOST_RUBLES),
        metadata={"description": "Rubles.", "example": 100},
    )
    method = ma.fields.String(
        required=True, validate=validate.OneOf([method.value for method in RechargeMethod])
    )
    network = ma.fields.String(
        validate=validate.OneOf([network.value for network in Network]),
        metadata={"description": "For `crypto`; DEFAULT_NETWORK without."},
    )


class UrgentWaySchema(ma.Schema):
    method = ma.fields.String(required=True, metadata={"example": "telegram_stars"})
    networks = ma.fields.List(
        ma.fields.String(), required=True, metadata={"description": "For `crypto`."}
    )
    currency = ma.fields.String(
        required=True, metadata={"description": "What is paid with; `XTR`: Telegram Stars."}
    )
    rubles_per_unit = ma.fields.String(required=True, metadata={"example": "1.2"})
    least = ma.fields.Integer(required=True, metadata={"description": "Rubles."})
    most = ma.fields.Integer(required=True, metadata={"description": "Rubles."})


class UrgentRechargeSchema(ma.Schema):
    status = ma.fields.String(
        required=True,
        validate=validate.OneOf(["open", "credited"]),
        metadata={"description": "`credited`: it is in the balance already (in development)."},
    )
    method = ma.fields.String(required=True)
    amount = ma.fields.Integer(required=True, metadata={"description": "Rubles."})
    balance = ma.fields.Integer(required=True, metadata={"description": "Rubles, now."})
    invoice_id = ma.fields.UUID(allow_none=True)
    price = ma.fields.String(allow_none=True, metadata={"example": "1.25"})
    price_currency = ma.fields.String(
        allow_none=True, metadata={"description": "`XTR`: Telegram Stars.", "example": "USDT"}
    )
    url = ma.fields.String(
        allow_none=True,
        metadata={"description": "For `Telegram.WebApp.openInvoice`, or the provider's page."},
    )
    network = ma.fields.String(allow_none=True)
    address = ma.fields.String(allow_none=True, metadata={"description": "Pay exactly `price`."})
    qr = ma.fields.String(
        allow_none=True, metadata={"description": "The address: a data: URI of an SVG."}
    )
    expires_at = Moment(allow_none=True)


class UrgentMeSchema(ma.Schema):
    id = ma.fields.Integer(required=True, metadata={"description": "The Telegram id."})
    first_name = ma.fields.String(required=True)
    username = ma.fields.String(required=True, allow_none=True)
    balance = ma.fields.Integer(required=True, metadata={"description": "Rubles."})
    completed_orders_count = ma.fields.Integer(required=True)
    average_rating = ma.fields.Float(required=True, allow_none=True)
    preferences = ma.fields.Nested(UrgentPreferencesSchema, required=True)
    notification_settings = ma.fields.Nested(UrgentNotificationSettingsSchema, required=True)


class UrgentNewReviewSchema(Lenient):
    order_id = _order_id()
    executor_id = _person_id("May be left out when one alone took the order.")
    rating = ma.fields.Integer(required=True, strict=True, validate=validate.Range(min=1, max=5))
    comment = Prose(allow_none=True, validate=validate.Length(max=1000))


class UrgentNewComplaintSchema(Lenient):
    order_id = _order_id()
    reason = Line(required=True, validate=validate.Length(min=2, max=100))
    comment = Prose(allow_none=True, validate=validate.Length(max=1000))


class UrgentReviewQuerySchema(Lenient):
    rating = ma.fields.Integer(validate=validate.Range(min=1, max=5))
    executor_id = _person_id("Whose reviews.", strict=False)


class UrgentReviewSchema(ma.Schema):
    id = ma.fields.Integer(required=True)
    order_id = ma.fields.String(required=True)
    executor_id = ma.fields.Integer(required=True, allow_none=True)
    executor_first_name = ma.fields.String(required=True)
    client_first_name = ma.fields.String(required=True)
    rating = ma.fields.Integer(required=True)
    comment = ma.fields.String(required=True, allow_none=True)
    created_at = Moment(required=True)


class UrgentComplaintSchema(ma.Schema):
    id = ma.fields.Integer(required=True)
    order_id = ma.fields.String(required=True)
    reason = ma.fields.String(required=True)
    comment = ma.fields.String(required=True, allow_none=True)
    status = ma.fields.String(required=True, metadata={"example": "pending"})
    created_at = Moment(required=True)


def as_listed(order: Order, client: Person, now: datetime) -> dict[str, Any]:
    """What everybody may see."""
    if order.status is OrderStatus.DELETED:
        return {"id": order.id, "status": order.status.value, "changed_at": order.changed_at}
    return as_known(order, client, now)


def as_known(order: Order, client: Person, now: datetime) -> dict[str, Any]:
    """The same, of a deleted one as well: for those whom it concerns."""
    return {
        "id": order.id,
        "client_id": client.public_id,
        "client_first_name": client.first_name,
        "category": order.category,
        "description": order.description,
        "city": order.city,
        "city_locked": True,
        "status": status_at(order, now).value,
        "executors_count": order.executors_count,
        "created_at": order.created_at,
        "expires_at": order.expires_at,
        "changed_at": order.changed_at,
        "expires_in_minutes": MINUTES,
        "minutes_left": minutes_left(order.expires_at, now),
    }


def etag_of(orders: Collection[Order], total: int, now: datetime) -> str:
    """Weak: it changes with the orders of a page and what the clock makes of them, but not with
    their minutes."""
    seen = [(o.id, clock.isoformat(o.changed_at), status_at(o, now).value) for o in orders]
    return f'W/"{hashlib.sha256(repr((total, seen)).encode()).hexdigest()[:32]}"'


def as_listed_all(
    orders: Collection[Order], clients: Mapping[int, Person], now: datetime
) -> list[dict[str, Any]]:
    """A page of the public list."""
    return [as_listed(order, clients[order.client_id], now) for order in orders]


def as_order(seen: Seen, now: datetime) -> dict[str, Any]:
    """One order; the contact, and who the client is, only for those who may."""
    order, client = seen.order, seen.client
    shown = {**as_known(order, client, now), "contact": None}
    if seen.sees_contact:
        shown |= {
            "contact": order.contact,
            "client_id": client.telegram_id or client.public_id,
            "client_username": client.username,
        }
    if seen.takes is not None:
        shown["executors"] = as_executors(order, seen.takes, seen.people or {}, seen.profiles or {})
    return shown


def as_take(take: Take, seen: Seen, now: datetime) -> dict[str, Any]:
    """What an executor took."""
    return {
        "order": as_order(seen, now),
        "taken_at": take.taken_at,
        "answered_at": take.answered_at,
        "refunded_at": take.refunded_at,
    }


def as_executors(
    order: Order,
    takes: Sequence[Take],
    people: Mapping[int, Person],
    profiles: Mapping[int, Profile],
) -> list[dict[str, Any]]:
    """For the client: who took the order."""
    return [
        {
            "executor_id": people[take.executor_id].telegram_id,
            "first_name": people[take.executor_id].first_name,
            **_standing(profiles.get(take.executor_id)),
            "taken_at": take.taken_at,
            "answered_at": take.answered_at,
            "completed": order.completed_by == take.executor_id,
        }
        for take in takes
    ]


def _standing(profile: Profile | None) -> dict[str, Any]:
    return {
        "average_rating": profile and average(profile.rating_sum, profile.ratings_count),
        "completed_orders_count": profile.completed_orders_count if profile else 0,
    }


def as_preferences(profile: Profile) -> dict[str, Any]:
    """What is followed, as it was typed."""
    return {"categories": profile.categories, "cities": profile.cities}


def as_me(person: Person, profile: Profile, balance: int) -> dict[str, Any]:
    """The caller's own profile; the balance in rubles."""
    return {
        "id": person.telegram_id,
        "first_name": person.first_name,
        "username": person.username,
        "balance": balance,
        **_standing(profile),
        "preferences": as_preferences(profile),
        "notification_settings": {"frequency": profile.frequency.value},
    }


def as_review(review: Review, people: Mapping[int, Person]) -> dict[str, Any]:
    """What everybody may read."""
    executor = people[review.executor_id]
    return {
        "id": review.id,
        "order_id": review.order_id,
        "executor_id": executor.telegram_id,
        "executor_first_name": executor.first_name,
        "client_first_name": people[review.client_id].first_name,
        "rating": review.rating,
        "comment": review.comment,
        "created_at": review.created_at,
    }


def as_complaint(complaint: Complaint) -> dict[str, Any]:
    """For whoever wrote it."""
    shown = ("id", "order_id", "reason", "comment", "created_at")
    return {
        **{name: getattr(complaint, name) for name in shown},
        "status": complaint.status.value,
    }
