"""Reads of the roll-ups."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator
from datetime import date, datetime, timedelta
from functools import cache
from typing import Any

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    FromClause,
    Select,
    bindparam,
    cast,
    column,
    func,
    select,
    values,
)
from sqlalchemy import Integer as SqlInteger

from manga_backend.kernel.memberships.queries import count_ending
from manga_backend.kernel.money.payments.queries import count_pending
from manga_backend.kernel.notifications.queries import WAITING, count_with
from manga_backend.kernel.notifications.types import Status
from manga_backend.kernel.statistics.domain import day_slots, local_day, slot_of, slot_start
from manga_backend.kernel.statistics.models import StatisticsBucket, StatisticsTotal
from manga_backend.kernel.statistics.types import Metric
from manga_backend.kit import clock
from manga_backend.kit.db import UtcDateTime, session
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
    borders = [day_slots(day, zone) for day in days]
    found: Daily = {day: defaultdict(dict) for day in days}
    for row in session().execute(*_by_day(borders, tuple(metrics))):
        found[days[row.number - 1]][row.metric][row.label] = int(row.value)
    return found


def _by_day(
    borders: list[tuple[int, int]], metrics: tuple[Metric, ...]
) -> tuple[Select[Any], dict[str, list[int]]]:
    """The statement, and what it is given: for PostgreSQL it is always the same one."""
    if session().get_bind().dialect.name == "postgresql":
        firsts, lasts = map(list, zip(*borders, strict=True))
        return _over_arrays(metrics), {"firsts": firsts, "lasts": lasts}
    columns = [column(name, SqlInteger) for name in ("first", "last", "number")]
    numbered = [(first, last, n) for n, (first, last) in enumerate(borders, 1)]
    return _sums(values(*columns, name="days").data(numbered).cte("days"), metrics), {}


@cache
def _over_arrays(metrics: tuple[Metric, ...]) -> Select[Any]:
    arrays = [bindparam(name, type_=ARRAY(SqlInteger)) for name in ("firsts", "lasts")]
    days = func.unnest(*(cast(array, array.type) for array in arrays))
    columns = [column(name, SqlInteger) for name in ("first", "last")]
    rows = days.table_valued(*columns, with_ordinality="number", name="days").render_derived()
    return _sums(rows, metrics)


def _sums(days: FromClause, metrics: tuple[Metric, ...]) -> Select[Any]:
    bucket = StatisticsBucket
    return (
        select(days.c.number, bucket.metric, bucket.label, func.sum(bucket.value).label("value"))
        .join(days, (bucket.slot >= days.c.first) & (bucket.slot < days.c.last))
        .where(bucket.metric.in_(metrics))
        .group_by(days.c.number, bucket.metric, bucket.label)
    )


def _active(name: str) -> ColumnElement[int]:
    """Subscriptions that end after a moment (`_moment`): whole half hours from the roll-up, the
    half hour of the moment itself counted exactly."""
    later = (
        select(func.sum(StatisticsBucket.value))
        .where(
            StatisticsBucket.metric == Metric.ENDS,
            StatisticsBucket.slot >= bindparam(f"{name}_slot"),
        )
        .scalar_subquery()
    )
    soon = count_ending(
        bindparam(f"{name}_at", type_=UtcDateTime), bindparam(f"{name}_end", type_=UtcDateTime)
    )
    whole: ColumnElement[int] = func.coalesce(later, 0) + soon
    return whole.label(name)


def _moment(name: str, at: datetime) -> dict[str, Any]:
    slot = slot_of(at) + 1
    end = slot_start(slot) - timedelta(microseconds=1)
    return {f"{name}_slot": slot, f"{name}_at": at, f"{name}_end": end}


_ACTIVE = select(_active("active"))
_NUMBERS = select(
    _active("active"),
    _active("later"),
    count_pending().label("pending"),
    count_with(*WAITING).label("waiting"),
    count_with(Status.DEAD).label("dead"),
)


def count_active(at: datetime) -> int:
    """Subscriptions that end after this moment."""
    return int(session().scalar(_ACTIVE, _moment("active", at)) or 0)


def overview(days: list[date]) -> dict[str, Any]:
    """All numbers of the stats route; `days` for its daily list."""
    now = clock.now()
    day = today()
    week = [day - timedelta(days=n) for n in range(7)]
    month = [day - timedelta(days=n) for n in range(30)]
    wanted = sorted({*days, *month})
    daily = by_day(wanted)
    sums = totals()
    soon = now + timedelta(days=7)
    found = session().execute(_NUMBERS, _moment("active", now) | _moment("later", soon)).one()
    active = int(found.active)
    return {
        "now": now,
        "today": day,
        "week": week,
        "month": month,
        "days": days,
        "daily": daily,
        "totals": sums,
        "active": active,
        "expiring_7d": active - int(found.later),
        "expired": sums[Metric.SUBSCRIPTIONS].get("", 0) - active,
        "pending": found.pending,
        "waiting": found.waiting,
        "dead": found.dead,
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
