"""Reads of plans and subscriptions."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, func, select

from manga_backend.kernel.memberships.models import Plan, Subscription
from manga_backend.kit.db import session


def list_plans(product: str | None = None) -> list[Plan]:
    """Plans on sale, in the order in which they are shown."""
    statement = select(Plan).where(Plan.is_on_sale).order_by(Plan.position, Plan.code)
    if product is not None:
        statement = statement.where(Plan.product == product)
    return list(session().scalars(statement))


def find_plan(code: str) -> Plan | None:
    """By code, on sale or not."""
    return session().get(Plan, code)


def find_default_plan(product: str | None = None) -> Plan | None:
    """The plan that is meant when none is named, of one product or of all."""
    statement = select(Plan).where(Plan.is_default, Plan.is_on_sale)
    if product is not None:
        statement = statement.where(Plan.product == product)
    return session().scalar(statement.order_by(Plan.position).limit(1))


def find_subscription(user_id: int, product: str) -> Subscription | None:
    """A user's subscription of one product, as it stands now even if it was read before a lock."""
    return session().scalar(
        select(Subscription)
        .where(Subscription.user_id == user_id, Subscription.product == product)
        .execution_options(populate_existing=True)
    )


def list_subscriptions(user_id: int) -> list[Subscription]:
    """All subscriptions of a user."""
    return list(
        session().scalars(
            select(Subscription)
            .where(Subscription.user_id == user_id)
            .order_by(Subscription.product)
        )
    )


def with_subscription(
    statement: Select[Any], user_id: ColumnElement[int], product: str
) -> Select[Any]:
    """Widens a statement by `plan_code`, `started_at` and `expires_at` of one product."""
    return statement.add_columns(
        Subscription.plan_code, Subscription.started_at, Subscription.expires_at
    ).outerjoin(
        Subscription, and_(Subscription.user_id == user_id, Subscription.product == product)
    )


def count_ending_between(after: datetime, until: datetime) -> int:
    """Subscriptions that end in (after, until]."""
    return (
        session().scalar(
            select(func.count())
            .select_from(Subscription)
            .where(Subscription.expires_at > after, Subscription.expires_at <= until)
        )
        or 0
    )
