"""Reads of the roll-ups."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import Integer as SqlInteger
from sqlalchemy import column, func, select, values

from manga_backend.kernel.memberships.queries import count_ending_between
from manga_backend.kernel.money.payments.queries import count_pending
from manga_backend.kernel.notifications.queries import count_waiting_and_dead
from manga_backend.kernel.statistics.domain import day_slots, local_day, slot_of, slot_start
from manga_backend.kernel.statistics.models import StatisticsBucket, StatisticsTotal
from manga_backend.kernel.statistics.types import Metric
from manga_backend.kit import clock
from manga_backend.kit.db import session
from manga_backend.kit.metrics import GaugeMetricFamily, gauge
from manga_backend.kit.settings import CoreSettings, settings

DAILY = (
    *(Metric.USERS, Metric.PAYMENTS, Metric.REVENUE),
    *(Metric.DECISIONS, Metric.DECISION_SECONDS, Metric.GIVEN_UP),
)
Daily = dict[date, dict[Metric, dict[str, int]]]


def today() -> date:
    """The day that it is in TIMEZONE."""
    return local_day(clock.now(), settings(CoreSettings).timezone)


def totals() -> dict[Metric, dict[str, int]]:
    """Metric → label → sum over all time."""
    found: dict[Metric, dict[str, int]] = defaultdict(dict)
    for row in session().execute(
        select(StatisticsTotal.metric, StatisticsTotal.label, StatisticsTotal.value)
    ):
        found[row.metric][row.label] = row.value
    return found


def by_day(days: list[date], metrics: Collection[Metric] = DAILY) -> Daily:
    """What happened on each of these local days, by one statement over their half hours."""
    zone = settings(CoreSettings).timezone
    borders = [(n, *day_slots(day, zone)) for n, day in enumerate(days)]
    columns = [column(name, SqlInteger) for name in ("number", "first", "last")]
    local = values(*columns, name="days").data(borders).cte("days")
    bucket = StatisticsBucket
    statement = (
        select(local.c.number, bucket.metric, bucket.label, func.sum(bucket.value).label("value"))
        .join(local, (bucket.slot >= local.c.first) & (bucket.slot < local.c.last))
        .where(bucket.metric.in_(metrics))
        .group_by(local.c.number, bucket.metric, bucket.label)
    )
    found: Daily = {day: defaultdict(dict) for day in days}
    for row in session().execute(statement):
        found[days[row.number]][row.metric][row.label] = int(row.value)
    return found


def count_active(at: datetime) -> int:
    """Subscriptions that end after this moment: whole half hours from the roll-up, the half hour of
    the moment itself counted exactly."""
    return _ending_from(slot_of(at) + 1) + count_ending_between(at, _end_of_slot(at))


def count_expiring(after: datetime, within: timedelta) -> int:
    """Subscriptions active now that end within some time."""
    return count_active(after) - count_active(after + within)


def _end_of_slot(at: datetime) -> datetime:
    return slot_start(slot_of(at) + 1) - timedelta(microseconds=1)


def _ending_from(slot: int) -> int:
    found = session().scalar(
        select(func.sum(StatisticsBucket.value)).where(
            StatisticsBucket.metric == Metric.ENDS, StatisticsBucket.slot >= slot
        )
    )
    return int(found or 0)


def overview(days: list[date]) -> dict[str, Any]:
    """All numbers of the stats route; `days` for its daily list."""
    now = clock.now()
    day = today()
    week = [day - timedelta(days=n) for n in range(7)]
    month = [day - timedelta(days=n) for n in range(30)]
    wanted = sorted({*days, *month})
    daily = by_day(wanted)
    sums = totals()
    active = count_active(now)
    waiting, dead = count_waiting_and_dead()
    return {
        "now": now,
        "today": day,
        "week": week,
        "month": month,
        "days": days,
        "daily": daily,
        "totals": sums,
        "active": active,
        "expiring_7d": count_expiring(now, timedelta(days=7)),
        "expired": sums[Metric.SUBSCRIPTIONS].get("", 0) - active,
        "pending": count_pending(),
        "waiting": waiting,
        "dead": dead,
    }


def read_numbers() -> Iterator[GaugeMetricFamily]:
    """For Prometheus: sums over all time by what they count, and active subscriptions now."""
    sums = [
        ((str(metric), label), float(value))
        for metric, by_label in totals().items()
        for label, value in by_label.items()
    ]
    meaning = "The roll-ups that statistics are made of; amounts in smallest units."
    yield gauge("business", meaning, sums, "metric", "label")
    active = [((), float(count_active(clock.now())))]
    yield gauge("subscriptions_active", "Subscriptions that run.", active)
