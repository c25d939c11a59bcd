"""Extending and shortening subscriptions, telling of their ends, and what a plan is to payments."""

from __future__ import annotations

import re
import uuid
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import delete, update

from manga_backend.kernel.backoffice.service import record_audit
from manga_backend.kernel.backoffice.types import Actor
from manga_backend.kernel.identity.queries import contacts, get_contact, get_user, list_contacts
from manga_backend.kernel.identity.service.sessions import lock_user
from manga_backend.kernel.memberships import queries
from manga_backend.kernel.memberships.domain import days_remaining, due_stage, extended
from manga_backend.kernel.memberships.errors import (
    NoDefaultPlan,
    NoSubscription,
)
from manga_backend.kernel.memberships.events import SubscriptionChanged
from manga_backend.kernel.memberships.messages import DAYS_CHANGED, NOTICES
from manga_backend.kernel.memberships.models import (
    Plan,
    Subscription,
    SubscriptionChange,
    SubscriptionNotice,
)
from manga_backend.kernel.memberships.types import EndAt, Extended, NoticeStage, PlanDraft, Source
from manga_backend.kernel.money.coupons import service as coupons
from manga_backend.kernel.money.coupons.types import AnyGift, DaysGift
from manga_backend.kernel.money.payments.types import Fulfilled, Item, Offer
from manga_backend.kernel.notifications.service.outbox import notify_user
from manga_backend.kernel.notifications.types import Contact, Priority
from manga_backend.kernel.telegram.types import Button, Message
from manga_backend.kit import clock
from manga_backend.kit.db import insert_or, notes, serialize_on, session
from manga_backend.kit.events import publish
from manga_backend.kit.i18n import gettext, in_language, language, local_digits, render
from manga_backend.kit.money import Money
from manga_backend.kit.problems import InvalidInput
from manga_backend.kit.settings import CoreSettings, settings

FULFILMENT = "memberships.days"
NOTICE_BATCH = 200
MAX_PLAN_DAYS = 3650
KEEP_NOTICES = timedelta(days=60)


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


# ---- telling of the end --------------------------------------------------------------------


def tell_ends(after: EndAt | None) -> EndAt | None:
    """Tell the users of one batch that their subscription ends soon, or has ended.

    Returns where the next batch goes on, None when there is none. Each (subscription, stage, end)
    is told once, whatever runs twice or at once: the unique row of the notice decides. Banned users
    are passed over.
    """
    now = clock.now()
    near = queries.lock_untold_ends(now, after, NOTICE_BATCH)
    due = {
        subscription.id: (subscription, stage)
        for subscription in near
        if (stage := due_stage(subscription.started_at, subscription.expires_at, now))
    }
    ids = {subscription.user_id for subscription, _stage in due.values()}
    wanted = contacts(where=lambda user_id: user_id.in_(ids), registered_by=now)
    reached = {one.user_id: one for one in list_contacts(wanted, after=0, limit=len(ids))}
    due = {key: found for key, found in due.items() if found[0].user_id in reached}
    plans = {
        code: queries.find_plan(code) for code in {found[0].plan_code for found in due.values()}
    }
    for subscription_id in _note_as_told(list(due.values()), now) if due else ():
        subscription, stage = due[subscription_id]
        plan, contact = plans[subscription.plan_code], reached[subscription.user_id]
        _tell_end(contact, subscription, plan, stage, now)
    return EndAt(near[-1].expires_at, near[-1].id) if len(near) == NOTICE_BATCH else None


def _note_as_told(due: list[tuple[Subscription, NoticeStage]], now: datetime) -> list[uuid.UUID]:
    """Those that nobody has told meanwhile."""
    notes = insert_or(SubscriptionNotice).values(
        [
            {
                "subscription_id": subscription.id,
                "stage": stage,
                "expires_at": subscription.expires_at,
                "at": now,
            }
            for subscription, stage in due
        ]
    )
    untold = notes.on_conflict_do_nothing().returning(SubscriptionNotice.subscription_id)
    return list(session().scalars(untold))


def _tell_end(
    contact: Contact,
    subscription: Subscription,
    plan: Plan | None,
    stage: NoticeStage,
    now: datetime,
) -> None:
    with in_language(contact.language):
        text = render(
            NOTICES[stage],
            contact.language,
            plan=plan.name(language()) if plan else subscription.plan_code,
            expires_at=subscription.expires_at,
            days=days_remaining(subscription.expires_at, now),
        )
        url = settings(CoreSettings).web_app_url
        buttons = [[Button(gettext("Renew on the site"), url=url)]] if url else []
    notify_user(
        contact,
        Message(text, buttons),
        kind=f"subscription_{stage.value}",
        subject=f"subscription:{subscription.id}",
        priority=Priority.RECEIPT,
    )


def purge_notices() -> None:
    """Forget notices of ends that are long past; none of those is told again."""
    session().execute(
        delete(SubscriptionNotice).where(SubscriptionNotice.expires_at < clock.now() - KEEP_NOTICES)
    )


# ---- what payments ask of plans ------------------------------------------------------------


def plan_offer(code: str | None) -> Offer | None:
    """The offer of a plan on sale, or of the default plan."""
    plan = queries.find_default_plan() if code is None else queries.find_plan(code)
    if plan is None or not plan.is_on_sale:
        return None
    _keep(plan.code, plan)
    return _offer(plan, plan.days, Money(plan.price, plan.currency))


def cheaper_offer(code: str, came: Money) -> Offer | None:
    """The longest plan that is shorter than this one, of its product, for at most what came."""
    wanted = queries.find_plan(code)
    if wanted is None:
        return None
    plan = queries.find_shorter_plan(wanted, came)
    return _offer(plan, plan.days, Money(plan.price, plan.currency)) if plan else None


def gift_of_days(code: str, days: int) -> Offer | None:
    """Some days of a plan at no price; the plan need not be on sale any more."""
    plan = queries.find_plan(code)
    return _offer(plan, days, Money(0, plan.currency)) if plan else None


def _keep(code: str, plan: Plan | None) -> None:
    """The session forgets what nobody holds, and a list asks for the same plan for each line."""
    notes().values.setdefault("memberships.plans", {})[code] = plan


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

    def undo(self, item: Item, payment_id: uuid.UUID, reason: str) -> None:
        """Take the days back."""
        extend(
            item.user_id,
            item.product,
            item.code,
            -int(item.details["days"]),
            source=Source.PAYMENT,
            source_id=f"{payment_id}:refund",
            reason=reason,
        )

    def facts(self, item: Item) -> list[tuple[str, str]]:
        """Plan and days."""
        plan = queries.find_plan(item.code)
        _keep(item.code, plan)
        name = plan.name(language()) if plan else item.title
        days = local_digits(str(item.details["days"]))
        return [(gettext("Plan"), gettext("%(plan)s, %(days)s days", plan=name, days=days))]


# ---- plans -------------------------------------------------------------------------------------

PLAN_CODE = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")


def save_plan(draft: PlanDraft, actor: Actor, *, new: bool) -> Plan:
    """Make a plan, or change one: what is sold and for how much from now on. Invoices and
    subscriptions of before keep what they were made with.

    InvalidInput names what is wrong: among it a code that is taken, or unknown. A plan that becomes
    its product's default takes that from the one before. Audited with before and after.
    """
    serialize_on("plans")
    plan = queries.find_plan(draft.code)
    errors = _plan_errors(draft, plan, new=new)
    if errors:
        raise InvalidInput(errors)
    current = session()
    before = None
    if plan is None:
        plan = Plan(code=draft.code, product=draft.product)
        current.add(plan)
    else:
        before = _plan_facts(plan)
    if draft.is_default:
        current.execute(
            update(Plan)
            .where(Plan.product == draft.product, Plan.code != draft.code, Plan.is_default)
            .values(is_default=False)
        )
    plan.names, plan.days, plan.price = draft.names, draft.days, draft.price
    plan.currency, plan.position = draft.currency, draft.position
    plan.is_default, plan.is_on_sale = draft.is_default, draft.is_on_sale
    current.flush()
    after = _plan_facts(plan)
    if after != before:
        action = "plan.created" if before is None else "plan.changed"
        record_audit(actor, action, "plan", plan.code, before=before, after=after)
    return plan


def _plan_errors(draft: PlanDraft, plan: Plan | None, *, new: bool) -> dict[str, list[str]]:
    errors: dict[str, list[str]] = {}
    if not PLAN_CODE.fullmatch(draft.code):
        errors["code"] = [gettext("Small letters, digits, - and _, at most 40.")]
    elif new and plan is not None:
        errors["code"] = [gettext("There is such a plan already.")]
    elif not new and plan is None:
        errors["code"] = [gettext("There is no such plan.")]
    if plan is not None and plan.product != draft.product:
        errors["product"] = [gettext("A plan stays with its product.")]
    if not any(draft.names.values()):
        errors["names"] = [gettext("Write the name in at least one language.")]
    if not 1 <= draft.days <= MAX_PLAN_DAYS:
        errors["days"] = [gettext("Enter a whole number of days, at least 1.")]
    if draft.price <= 0:
        errors["price"] = [gettext("Enter a price above zero.")]
    if draft.is_default and not draft.is_on_sale:
        errors["is_default"] = [gettext("The default plan must be on sale.")]
    return errors


def _plan_facts(plan: Plan) -> dict[str, Any]:
    return {
        "product": plan.product,
        "names": dict(plan.names),
        "days": plan.days,
        "price": str(Money(plan.price, plan.currency)),
        "currency": plan.currency,
        "is_default": plan.is_default,
        "is_on_sale": plan.is_on_sale,
        "position": plan.position,
    }


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
    return issue_gifts(
        actor, days_gift(days), count=count, max_uses=max_uses, expires_at=expires_at, note=note
    )


def issue_gifts(
    actor: Actor,
    gift: AnyGift,
    *,
    count: int = 1,
    max_uses: int = 1,
    expires_at: datetime | None = None,
    note: str | None = None,
) -> list[str]:
    """The same for any gift."""
    if expires_at is not None and expires_at <= clock.now():
        raise InvalidInput({"expires_at": [gettext("Must be in the future.")]})
    batch = coupons.issue(
        actor, gift, count=count, max_uses=max_uses, expires_at=expires_at, note=note
    )
    return coupons.codes_of(batch)


def days_gift(days: int) -> DaysGift:
    """Of the default plan; NoDefaultPlan."""
    plan = queries.find_default_plan()
    if plan is None:
        raise NoDefaultPlan
    return DaysGift(plan.code, days)
