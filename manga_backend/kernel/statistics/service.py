"""Counting: events add to the roll-ups of the running transaction."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import Insert

from manga_backend.kernel.approvals.events import QuestionDecided
from manga_backend.kernel.identity.events import UserBanned, UserRegistered, UserUnbanned
from manga_backend.kernel.memberships.events import SubscriptionChanged
from manga_backend.kernel.money.coupons.events import CouponRedeemed, CouponsIssued
from manga_backend.kernel.money.payments.events import (
    PaymentApproved,
    PaymentRefunded,
    PaymentRejected,
)
from manga_backend.kernel.notifications.events import MessageGivenUp
from manga_backend.kernel.statistics.domain import slot_of
from manga_backend.kernel.statistics.models import StatisticsBucket, StatisticsTotal
from manga_backend.kernel.statistics.types import Metric
from manga_backend.kit import clock
from manga_backend.kit.db import before_commit, insert_for, notes, session

_PENDING = "statistics"


def count(metric: Metric, amount: int = 1, *, label: str = "", at: datetime | None = None) -> None:
    """Add to a metric. The rows are written once, sorted, last thing before the commit: few
    statements, and row locks in one order for everybody."""
    before_commit(_PENDING, _write)
    deltas = notes().values.setdefault(_PENDING, Counter())
    deltas[(metric, slot_of(at or clock.now()), label)] += amount


def _write() -> None:
    deltas: Counter[tuple[Metric, int, str]] = notes().values.pop(_PENDING, Counter())
    changed = {key: value for key, value in sorted(deltas.items()) if value}
    if not changed:
        return
    totals: Counter[tuple[Metric, str]] = Counter()
    for (metric, _slot, label), value in changed.items():
        totals[(metric, label)] += value
    buckets, sums = _additions(session().get_bind().dialect.name)
    connection = session().connection()
    connection.execute(
        buckets,
        [
            {"metric": metric, "slot": slot, "label": label, "value": value}
            for (metric, slot, label), value in changed.items()
        ],
    )
    connection.execute(
        sums,
        [
            {"metric": metric, "label": label, "value": value}
            for (metric, label), value in sorted(totals.items())
        ],
    )


@cache
def _additions(dialect: str) -> tuple[Insert, Insert]:
    """Made once: into half hours, and into sums of all time."""

    def adding(model: type[Any], *key: str) -> Insert:
        new = insert_for(dialect, model)
        changed: Insert = new.on_conflict_do_update(
            index_elements=key, set_={"value": model.value + new.excluded.value}
        )
        return changed

    half_hours = adding(StatisticsBucket, "metric", "slot", "label")
    return half_hours, adding(StatisticsTotal, "metric", "label")


def on_user_registered(_event: UserRegistered) -> None:
    """A new account."""
    count(Metric.USERS)


def on_user_banned(_event: UserBanned) -> None:
    """One more ban in force."""
    count(Metric.BANNED)


def on_user_unbanned(_event: UserUnbanned) -> None:
    """One less."""
    count(Metric.BANNED, -1)


def on_payment_approved(event: PaymentApproved) -> None:
    """A payment by method, and what it sold by currency."""
    count(Metric.PAYMENTS, label=event.method.value, at=event.at)
    if event.sold:
        count(Metric.REVENUE, event.sold, label=event.currency, at=event.at)


def on_payment_refunded(event: PaymentRefunded) -> None:
    """Less was sold; on the day of the refund."""
    count(Metric.REVENUE, -event.amount, label=event.currency)


def on_payment_rejected(_event: PaymentRejected) -> None:
    """A refusal."""
    count(Metric.REJECTED)


def on_question_decided(event: QuestionDecided) -> None:
    """How many, and how long they waited."""
    count(Metric.DECISIONS, label=event.kind)
    count(Metric.DECISION_SECONDS, event.waited_seconds, label=event.kind)


def on_message_given_up(_event: MessageGivenUp) -> None:
    """One more that did not arrive."""
    count(Metric.GIVEN_UP)


def on_coupons_issued(event: CouponsIssued) -> None:
    """A batch."""
    count(Metric.COUPONS_ISSUED, event.count)


def on_coupon_redeemed(_event: CouponRedeemed) -> None:
    """A use."""
    count(Metric.COUPONS_REDEEMED)


def on_subscription_changed(event: SubscriptionChanged) -> None:
    """The end leaves its half hour and enters another, so that active ones can be counted."""
    if event.before is None:
        count(Metric.SUBSCRIPTIONS)
    else:
        count(Metric.ENDS, -1, at=event.before)
    count(Metric.ENDS, at=event.after)
