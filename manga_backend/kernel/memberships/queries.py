"""Reads of plans and subscriptions."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    ScalarSelect,
    Select,
    and_,
    case,
    func,
    or_,
    select,
)

from manga_backend.kernel.identity.errors import Banned
from manga_backend.kernel.identity.queries import find_user_by_verified_telegram_id
from manga_backend.kernel.memberships.domain import MAKE_UP_FOR_END, NOTICE_BEFORE
from manga_backend.kernel.memberships.errors import ChatNotLinked
from manga_backend.kernel.memberships.models import (
    Plan,
    Subscription,
    SubscriptionChange,
    SubscriptionNotice,
)
from manga_backend.kernel.memberships.types import Account, EndAt, NoticeStage, Source
from manga_backend.kernel.money.payments.queries import own_payments
from manga_backend.kit.db import session
from manga_backend.kit.money import Money


def list_plans(product: str | None = None) -> list[Plan]:
    """Plans on sale, in the order in which they are shown."""
    statement = select(Plan).where(Plan.is_on_sale).order_by(Plan.position, Plan.code)
    if product is not None:
        statement = statement.where(Plan.product == product)
    return list(session().scalars(statement))


def list_all_plans() -> list[Plan]:
    """On sale or not, by product and in the order in which they are shown."""
    return list(session().scalars(select(Plan).order_by(Plan.product, Plan.position, Plan.code)))


def is_product(name: str) -> bool:
    """Whether something is, or was, sold under this name."""
    planned = select(Plan.code).where(Plan.product == name).limit(1)
    subscribed_to = select(Subscription.id).where(Subscription.product == name).limit(1)
    return any(session().scalar(found) is not None for found in (planned, subscribed_to))


def find_plan(code: str) -> Plan | None:
    """By code, on sale or not."""
    return session().get(Plan, code)


def find_shorter_plan(wanted: Plan, came: Money) -> Plan | None:
    """The longest plan on sale that is shorter than this one, of its product, for at most so much
    money."""
    return session().scalar(
        select(Plan)
        .where(
            Plan.is_on_sale,
            Plan.product == wanted.product,
            Plan.currency == came.currency,
            Plan.days < wanted.days,
            Plan.price.between(1, came.amount),
        )
        .order_by(Plan.days.desc(), Plan.price)
        .limit(1)
    )


_DEFAULT_PLAN = (
    select(Plan).where(Plan.is_default, Plan.is_on_sale).order_by(Plan.position).limit(1)
)


def find_default_plan(product: str | None = None) -> Plan | None:
    """The plan that is meant when none is named, of one product or of all."""
    statement = _DEFAULT_PLAN if product is None else _DEFAULT_PLAN.where(Plan.product == product)
    return session().scalar(statement)


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


def count_ending(after: BindParameter[Any], until: BindParameter[Any]) -> ScalarSelect[int]:
    """How many subscriptions end in (after, until], as a piece of a statement."""
    return (
        select(func.count())
        .select_from(Subscription)
        .where(Subscription.expires_at > after, Subscription.expires_at <= until)
        .scalar_subquery()
    )


def sum_days_bought(user_id: int) -> int:
    """All days that payments and coupons of a user gave."""
    return (
        session().scalar(
            select(func.sum(SubscriptionChange.days)).where(
                SubscriptionChange.user_id == user_id, SubscriptionChange.source == Source.PAYMENT
            )
        )
        or 0
    )


def lock_untold_ends(now: datetime, after: EndAt | None, limit: int) -> list[Subscription]:
    """Subscriptions near their end whose user was not told at the stage of this moment, by end.

    Goes by the index on the end, from `after` on. Locks the rows; those that others hold (someone
    pays just now) are passed over.
    """
    stage = case(
        *(
            (Subscription.expires_at <= now + before, stage.value)
            for stage, before in NOTICE_BEFORE.items()
        )
    )
    told = select(SubscriptionNotice.id).where(
        SubscriptionNotice.subscription_id == Subscription.id,
        SubscriptionNotice.expires_at == Subscription.expires_at,
        SubscriptionNotice.stage == stage,
    )
    statement = (
        select(Subscription)
        .where(
            Subscription.expires_at > now - MAKE_UP_FOR_END,
            Subscription.expires_at <= now + NOTICE_BEFORE[NoticeStage.THREE_DAYS],
            ~told.exists(),
        )
        .order_by(Subscription.expires_at, Subscription.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
        .execution_options(populate_existing=True)
    )
    if after is not None:
        same = and_(Subscription.expires_at == after.expires_at, Subscription.id > after.id)
        statement = statement.where(
            Subscription.expires_at >= after.expires_at,
            or_(Subscription.expires_at > after.expires_at, same),
        )
    return list(session().scalars(statement))


def subscribed(
    user_id: ColumnElement[int],
    *,
    product: str | None = None,
    ends_after: datetime | None = None,
    ends_by: datetime | None = None,
) -> ColumnElement[bool]:
    """Whether the user that an outer statement names has a subscription, of one product or of any,
    that ends in (ends_after, ends_by]; a bound left out is none."""
    conditions = [Subscription.user_id == user_id]
    if product is not None:
        conditions.append(Subscription.product == product)
    if ends_after is not None:
        conditions.append(Subscription.expires_at > ends_after)
    if ends_by is not None:
        conditions.append(Subscription.expires_at <= ends_by)
    return select(Subscription.id).where(*conditions).correlate_except(Subscription).exists()


def get_account_of_chat(telegram_id: int) -> Account:
    """The account that proved this Telegram id; ChatNotLinked, Banned."""
    user = find_user_by_verified_telegram_id(telegram_id)
    if user is None:
        raise ChatNotLinked
    if user.banned_at is not None:
        raise Banned
    return Account(user.id, user.label, user.created_at)


def find_last_payment(user_id: int) -> Any:
    """The payment that a user made last, coupons included; None if there is none."""
    return session().scalar(own_payments(user_id).limit(1))
