"""Extending and shortening subscriptions, and what a plan is to payments."""

from __future__ import annotations

import uuid
from datetime import datetime

from manga_backend.kernel.backoffice.service import record_audit
from manga_backend.kernel.backoffice.types import Actor
from manga_backend.kernel.identity.queries import get_contact, get_user
from manga_backend.kernel.identity.service.sessions import lock_user
from manga_backend.kernel.memberships import queries
from manga_backend.kernel.memberships.domain import extended
from manga_backend.kernel.memberships.errors import (
    NoDefaultPlan,
    NoSubscription,
)
from manga_backend.kernel.memberships.events import SubscriptionChanged
from manga_backend.kernel.memberships.models import Plan, Subscription, SubscriptionChange
from manga_backend.kernel.memberships.types import Extended, Source
from manga_backend.kernel.money.coupons import service as coupons
from manga_backend.kernel.money.payments.types import Fulfilled, Item, Offer
from manga_backend.kernel.notifications.service.outbox import notify_user
from manga_backend.kernel.telegram.types import Message
from manga_backend.kit import clock
from manga_backend.kit.db import session
from manga_backend.kit.events import publish
from manga_backend.kit.i18n import gettext, language, local_digits, render
from manga_backend.kit.money import Money
from manga_backend.kit.problems import InvalidInput

FULFILMENT = "memberships.days"
DAYS_CHANGED = "messages/days_changed.html"


def extend(
    user_id: int,
    product: str,
    plan_code: str,
    days: int,
    *,
    source: Source,
    source_id: str,
    reason: str | None = None,
) -> Extended:
    """Give (or with negative `days` take) time in the running transaction.

    Locks the user. The pair (source, source_id) is unique, so one payment extends once, whatever
    runs twice. Publishes SubscriptionChanged.
    """
    lock_user(user_id)
    current = session()
    subscription = queries.find_subscription(user_id, product)
    before = subscription.expires_at if subscription else None
    started_at, expires_at = extended(
        subscription.started_at if subscription else None, before, days, clock.now()
    )
    if subscription is None:
        subscription = Subscription(user_id=user_id, product=product, plan_code=plan_code)
        current.add(subscription)
    if days > 0:
        subscription.plan_code = plan_code
    subscription.started_at, subscription.expires_at = started_at, expires_at
    current.add(
        SubscriptionChange(
            user_id=user_id,
            product=product,
            source=source,
            source_id=source_id,
            days=days,
            expired_before=before,
            expires_after=expires_at,
            reason=reason,
            at=clock.now(),
        )
    )
    current.flush()
    publish(SubscriptionChanged(user_id=user_id, product=product, before=before, after=expires_at))
    return Extended(started_at, expires_at)


def give_days(user_id: int, product: str, days: int, actor: Actor, reason: str) -> Extended:
    """By an admin: give days of the default plan, or take some back with a negative number.

    Locks the user. NoSubscription when there is nothing to take from. Audited; the user is told.
    """
    user = get_user(user_id)
    lock_user(user_id)  # before the end is read: gifts at once all count
    subscription = queries.find_subscription(user_id, product)
    plan = queries.find_default_plan()
    if subscription is None and (days < 0 or plan is None):
        raise NoSubscription
    plan_code = subscription.plan_code if subscription else plan.code if plan else ""
    before = subscription.expires_at if subscription else None
    after = extend(
        user_id,
        product,
        plan_code,
        days,
        source=Source.ADMIN,
        source_id=str(uuid.uuid4()),
        reason=reason,
    )
    contact = get_contact(user_id)
    text = render(
        DAYS_CHANGED, contact.language, days=days, expires_at=after.expires_at, reason=reason
    )
    notify_user(contact, Message(text), kind="days_changed")
    record_audit(
        actor,
        "subscription.days_given" if days >= 0 else "subscription.days_taken",
        "user",
        user.public_id,
        before={"product": product, "expires_at": before},
        after={"product": product, "expires_at": after.expires_at, "days": days, "reason": reason},
    )
    return after


# ---- what payments ask of plans ------------------------------------------------------------


def plan_offer(code: str | None) -> Offer | None:
    """The offer of a plan on sale, or of the default plan."""
    plan = queries.find_default_plan() if code is None else queries.find_plan(code)
    if plan is None or not plan.is_on_sale:
        return None
    return _offer(plan, plan.days, Money(plan.price, plan.currency))


def gift_of_days(code: str, days: int) -> Offer | None:
    """Some days of a plan at no price; the plan need not be on sale any more."""
    plan = queries.find_plan(code)
    return _offer(plan, days, Money(0, plan.currency)) if plan else None


def _offer(plan: Plan, days: int, price: Money) -> Offer:
    return Offer(
        product=plan.product,
        code=plan.code,
        title=plan.name("en"),
        price=price,
        fulfilment=FULFILMENT,
        item={"plan": plan.code, "days": days},
    )


class DaysFulfilment:
    """A paid invoice for days of a plan extends the subscription."""

    def fulfil(self, item: Item, payment_id: uuid.UUID) -> Fulfilled:
        """Extend by the days that the invoice was made for."""
        days = int(item.details["days"])
        after = extend(
            item.user_id,
            item.product,
            item.code,
            days,
            source=Source.PAYMENT,
            source_id=str(payment_id),
        )
        return Fulfilled(days_added=days, expires_at=after.expires_at)

    def facts(self, item: Item) -> list[tuple[str, str]]:
        """Plan and days."""
        plan = queries.find_plan(item.code)
        name = plan.name(language()) if plan else item.title
        days = local_digits(str(item.details["days"]))
        return [(gettext("Plan"), gettext("%(plan)s, %(days)s days", plan=name, days=days))]


def issue_coupons(
    actor: Actor,
    *,
    days: int,
    count: int = 1,
    max_uses: int = 1,
    expires_at: datetime | None = None,
    note: str | None = None,
) -> list[str]:
    """Make coupons that give days of the default plan; returns the codes as people read them.

    InvalidInput for an end in the past, NoDefaultPlan.
    """
    if expires_at is not None and expires_at <= clock.now():
        raise InvalidInput({"expires_at": [gettext("Must be in the future.")]})
    plan = queries.find_default_plan()
    if plan is None:
        raise NoDefaultPlan
    batch = coupons.issue_days(
        actor,
        plan_code=plan.code,
        days=days,
        count=count,
        max_uses=max_uses,
        expires_at=expires_at,
        note=note,
    )
    return coupons.codes_of(batch)
