"""Reads of orders, takes, profiles and reviews."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Select, bindparam, func, literal_column, or_, select, text

from manga_backend.kernel.identity.queries import find_user_by_verified_telegram_id, find_users
from manga_backend.kit import clock
from manga_backend.kit.db import session
from manga_backend.products.urgent.domain import key_of, stems_of
from manga_backend.products.urgent.errors import OrderNotFound, ReviewNotFound
from manga_backend.products.urgent.models import (
    Complaint,
    Interest,
    Order,
    OrderChange,
    Profile,
    Review,
    Take,
)
from manga_backend.products.urgent.types import (
    ANSWER_WITHIN,
    LIFETIME,
    Frequency,
    OrderFilter,
    OrderStatus,
    Person,
)

SEARCH_LANGUAGE = "russian"
"""PostgreSQL's: it stems Russian words, and English ones."""
SHOWN = [status for status in OrderStatus if status is not OrderStatus.DELETED]
OVERLAP = timedelta(seconds=10)
"""What is committed late has an earlier time than what was seen: so far back is read again."""


# ---- orders -----------------------------------------------------------------------------------


def find_order(order_id: str) -> Order | None:
    """As it stands in the database now."""
    return session().get(Order, order_id, populate_existing=True)


def get_order(order_id: str) -> Order:
    """OrderNotFound."""
    order = find_order(order_id)
    if order is None:
        raise OrderNotFound
    return order


def public_orders(wanted: OrderFilter) -> Select[Any]:
    """The public list, newest first. Active ones are those that the clock says are, whether or not
    the others were closed yet; deleted ones are in no list."""
    statement = select(Order).where(Order.status == wanted.status)
    if wanted.status is OrderStatus.ACTIVE:
        now = clock.now()
        statement = statement.where(
            Order.created_at > now - LIFETIME,
            or_(
                Order.first_taken_at.is_(None),
                Order.answered_at.is_not(None),
                Order.first_taken_at > now - ANSWER_WITHIN,
            ),
        )
    if wanted.category is not None:
        statement = statement.where(Order.category_key == key_of(wanted.category))
    if wanted.city is not None:
        statement = statement.where(Order.city_key == key_of(wanted.city))
    if wanted.search is not None:
        statement = statement.where(_found_by(wanted.search))
    return statement.order_by(Order.created_at.desc(), Order.id.desc())


def changed_orders(city: str | None, since: datetime) -> Select[Any]:
    """Orders that came, changed or went since a moment, deleted ones too, the last change first:
    what whoever keeps the list of before has to put in or take out. Narrowed by the city alone: all
    else may have changed, and then nobody would be told."""
    statement = select(Order).where(Order.changed_at > since - OVERLAP)
    if city is not None:
        statement = statement.where(Order.city_key == key_of(city))
    return statement.order_by(Order.changed_at.desc(), Order.id.desc())


def _found_by(search: str) -> ColumnElement[bool]:
    """By the database's own text search, through its index; contacts are not in it."""
    if session().get_bind().dialect.name == "postgresql":
        return func.to_tsvector(
            literal_column(f"'{SEARCH_LANGUAGE}'"),
            Order.category + literal_column("' '") + Order.description,
        ).bool_op("@@")(func.plainto_tsquery(literal_column(f"'{SEARCH_LANGUAGE}'"), search))
    words = " ".join(f'"{word}"*' for word in stems_of(search))
    if not words:
        return literal_column("0") == 1
    found = text(
        "SELECT order_id FROM urgent_orders_search WHERE urgent_orders_search MATCH :words"
    )
    return Order.id.in_(found.bindparams(words=words).columns(Order.id).scalar_subquery())


def own_orders(user_id: int) -> Select[Any]:
    """What a client has asked for, newest first."""
    return (
        select(Order)
        .where(Order.client_id == user_id)
        .order_by(Order.created_at.desc(), Order.id.desc())
    )


def taken_orders(user_id: int) -> Select[Any]:
    """The takes of an executor, newest first."""
    return select(Take).where(Take.executor_id == user_id).order_by(Take.id.desc())


def find_orders(order_ids: Collection[str]) -> dict[str, Order]:
    """In one query."""
    found = session().scalars(select(Order).where(Order.id.in_(order_ids)))
    return {order.id: order for order in found}


def newest_since(user_id: int, since: datetime) -> list[datetime]:
    """When a client posted after a moment, oldest first."""
    return list(
        session().scalars(
            select(Order.created_at)
            .where(Order.client_id == user_id, Order.created_at > since)
            .order_by(Order.created_at)
        )
    )


# ---- takes ------------------------------------------------------------------------------------


_TAKE = (
    select(Take)
    .where(Take.order_id == bindparam("wanted"), Take.executor_id == bindparam("executor"))
    .execution_options(populate_existing=True)
)
_TAKES = (
    select(Take).where(Take.order_id.in_(bindparam("order_ids", expanding=True))).order_by(Take.id)
)


def find_take(order_id: str, executor_id: int) -> Take | None:
    """Refunded or not."""
    return session().scalar(_TAKE, {"wanted": order_id, "executor": executor_id})


def find_take_by_number(take_id: int) -> Take | None:
    """By its number."""
    return session().get(Take, take_id, populate_existing=True)


def list_takes(order_ids: Collection[str]) -> dict[str, list[Take]]:
    """Who took each of these orders, in their order; one query."""
    takes: dict[str, list[Take]] = {order_id: [] for order_id in order_ids}
    for take in session().scalars(_TAKES, {"order_ids": list(order_ids)}):
        takes[take.order_id].append(take)
    return takes


# ---- people -----------------------------------------------------------------------------------


def persons(user_ids: Collection[int]) -> dict[int, Person]:
    """As the others of an order see them; one query."""
    return {
        user.id: Person(
            user_id=user.id,
            public_id=str(user.public_id),
            telegram_id=user.telegram_id if user.telegram_verified_at is not None else None,
            first_name=user.first_name or "",
            username=user.telegram_username,
        )
        for user in find_users(user_ids).values()
    }


def find_executor_id(telegram_id: int) -> int | None:
    """Our own key of whoever proved this Telegram id, which is the public one here."""
    user = find_user_by_verified_telegram_id(telegram_id)
    return None if user is None else user.id


def find_profile(user_id: int) -> Profile:
    """An empty one for who never needed one."""
    found = session().get(Profile, user_id)
    return found or Profile(
        user_id=user_id,
        completed_orders_count=0,
        rating_sum=0,
        ratings_count=0,
        categories=[],
        cities=[],
        frequency=Frequency.INSTANT,
    )


def find_profiles(user_ids: Collection[int]) -> dict[int, Profile]:
    """Those that there are; one query."""
    found = session().scalars(select(Profile).where(Profile.user_id.in_(user_ids)))
    return {profile.user_id: profile for profile in found}


def interested_in(
    user_id: ColumnElement[int], category_key: str, city_key: str, frequency: Frequency
) -> ColumnElement[bool]:
    """Whether the user of an outer statement follows this category and city, and wants to hear of
    it so often."""
    follows = (
        select(Interest.user_id)
        .join(Profile, Profile.user_id == Interest.user_id)
        .where(
            Interest.city_key.in_(("", city_key)),
            Interest.category_key.in_(("", category_key)),
            Profile.frequency == frequency,
        )
    )
    return user_id.in_(follows)


def followed_orders(user_id: int, since: datetime, until: datetime) -> Select[Any]:
    """Other people's orders that one user follows, posted in [since, until), newest first."""
    followed = (
        select(Interest.user_id)
        .where(
            Interest.user_id == user_id,
            Interest.city_key.in_(("", Order.city_key)),
            Interest.category_key.in_(("", Order.category_key)),
        )
        .correlate(Order)
        .exists()
    )
    return (
        select(Order)
        .where(
            Order.created_at >= since,
            Order.created_at < until,
            Order.client_id != user_id,
            Order.status.in_(SHOWN),
            followed,
        )
        .order_by(Order.created_at.desc())
    )


# ---- reviews and complaints -------------------------------------------------------------------


def reviews(rating: int | None, executor_id: int | None) -> Select[Any]:
    """What everybody may read, newest first."""
    statement = select(Review).where(Review.hidden_at.is_(None))
    if rating is not None:
        statement = statement.where(Review.rating == rating)
    if executor_id is not None:
        statement = statement.where(Review.executor_id == executor_id)
    return statement.order_by(Review.id.desc())


def find_review_of(order_id: str, client_id: int) -> Review | None:
    """A client's word on an order."""
    return session().scalar(
        select(Review).where(Review.order_id == order_id, Review.client_id == client_id)
    )


def shown_reviews(order_ids: Collection[str]) -> list[Review]:
    """Of these orders, locked."""
    return list(
        session().scalars(
            select(Review)
            .where(Review.order_id.in_(order_ids), Review.hidden_at.is_(None))
            .order_by(Review.executor_id)
            .with_for_update()
        )
    )


def get_review(review_id: int) -> Review:
    """ReviewNotFound."""
    found = session().get(Review, review_id)
    if found is None:
        raise ReviewNotFound
    return found


def find_complaint_of(order_id: str, executor_id: int) -> Complaint | None:
    """An executor's word on an order."""
    return session().scalar(
        select(Complaint).where(
            Complaint.order_id == order_id, Complaint.executor_id == executor_id
        )
    )


def own_complaints(executor_id: int) -> Select[Any]:
    """What an executor complained about, newest first."""
    return (
        select(Complaint).where(Complaint.executor_id == executor_id).order_by(Complaint.id.desc())
    )


def list_complaints(complaint_ids: Collection[int]) -> list[Complaint]:
    """In one query."""
    return list(session().scalars(select(Complaint).where(Complaint.id.in_(complaint_ids))))


# ---- the live list ----------------------------------------------------------------------------


def last_change_id() -> int:
    """The newest, 0 before the first."""
    return session().scalar(select(func.max(OrderChange.id))) or 0


def changes_after(change_id: int, limit: int) -> list[int]:
    """The numbers of the next changes."""
    return list(
        session().scalars(
            select(OrderChange.id)
            .where(OrderChange.id > change_id)
            .order_by(OrderChange.id)
            .limit(limit)
        )
    )


def changes_before(change_id: int, since: datetime) -> list[int]:
    """Those of the changes up to a number that were noted after a moment: they may have been
    committed later than it."""
    late = select(OrderChange.id).where(OrderChange.at > since, OrderChange.id <= change_id)
    return list(session().scalars(late))


def list_changed(change_ids: Collection[int]) -> Sequence[tuple[int, Order]]:
    """These changes, with their orders as they are now."""
    rows = session().execute(
        select(OrderChange.id, Order)
        .join(Order, Order.id == OrderChange.order_id)
        .where(OrderChange.id.in_(change_ids))
        .order_by(OrderChange.id)
    )
    return [(row[0], row[1]) for row in rows]
