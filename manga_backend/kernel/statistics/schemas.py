"""Statistics in JSON."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, timedelta
from typing import Any

import marshmallow as ma

from manga_backend.kernel.statistics.types import Metric
from manga_backend.kit.http import Schema
from manga_backend.kit.money import decimal_string

MAX_DAYS = 366
DEFAULT_DAYS = 30
_EARLIEST, _LATEST = date(2000, 1, 1), date(2200, 1, 1)


class StatsQuerySchema(Schema):
    class Meta:
        unknown = ma.EXCLUDE

    from_ = ma.fields.Date(
        data_key="from", metadata={"description": "First day; 30 days before `to` by default."}
    )
    to = ma.fields.Date(metadata={"description": "Last day; today by default."})

    @ma.validates_schema
    def in_order(self, data: dict[str, Any], **_: Any) -> None:
        """From before to, not absurdly far."""
        for name, value in data.items():
            if not _EARLIEST <= value <= _LATEST:
                raise ma.ValidationError("Out of range.", name.rstrip("_"))
        if "from_" in data and "to" in data:
            if data["from_"] > data["to"]:
                raise ma.ValidationError("Must not be after `to`.", "from")
            if (data["to"] - data["from_"]).days >= MAX_DAYS:
                raise ma.ValidationError(f"At most {MAX_DAYS} days at once.", "from")


def asked_days(query: dict[str, Any], today: date) -> tuple[date, date]:
    """First and last day of the daily list, at most a year."""
    last = query.get("to") or max(today, query.get("from_", today))
    first = query.get("from_") or last - timedelta(days=DEFAULT_DAYS - 1)
    return max(first, last - timedelta(days=MAX_DAYS - 1)), last


class UsersSchema(Schema):
    total = ma.fields.Integer(required=True)
    new_today = ma.fields.Integer(required=True)
    new_7d = ma.fields.Integer(required=True)
    banned = ma.fields.Integer(required=True)


class SubscriptionsSchema(Schema):
    active = ma.fields.Integer(required=True)
    expiring_7d = ma.fields.Integer(required=True)
    expired = ma.fields.Integer(required=True)


class PaymentsSchema(Schema):
    pending = ma.fields.Integer(required=True)
    approved = ma.fields.Integer(required=True)
    rejected = ma.fields.Integer(required=True)
    by_method = ma.fields.Dict(keys=ma.fields.String(), values=ma.fields.Integer(), required=True)


class RevenueSchema(Schema):
    total = ma.fields.String(required=True, metadata={"example": "125.00"})
    today = ma.fields.String(required=True)
    last_7d = ma.fields.String(required=True)
    last_30d = ma.fields.String(required=True)


class DaySchema(Schema):
    date = ma.fields.Date(required=True)
    users = ma.fields.Integer(required=True)
    payments = ma.fields.Integer(required=True)
    revenue = ma.fields.Dict(keys=ma.fields.String(), values=ma.fields.String(), required=True)


class CouponStatsSchema(Schema):
    issued = ma.fields.Integer(required=True)
    redeemed = ma.fields.Integer(required=True)


class NotificationStatsSchema(Schema):
    pending = ma.fields.Integer(required=True)
    failed = ma.fields.Integer(required=True)


class StatsSchema(Schema):
    users = ma.fields.Nested(UsersSchema, required=True)
    subscriptions = ma.fields.Nested(SubscriptionsSchema, required=True)
    payments = ma.fields.Nested(PaymentsSchema, required=True)
    revenue = ma.fields.Dict(
        keys=ma.fields.String(), values=ma.fields.Nested(RevenueSchema), required=True
    )
    daily = ma.fields.List(ma.fields.Nested(DaySchema), required=True)
    coupons = ma.fields.Nested(CouponStatsSchema, required=True)
    notifications = ma.fields.Nested(NotificationStatsSchema, required=True)


def as_stats(seen: dict[str, Any]) -> dict[str, Any]:
    """The roll-ups in the shape of two-manga.md."""
    sums, daily = seen["totals"], seen["daily"]

    def over(days: Iterable[date], metric: Metric) -> int:
        return sum(sum(daily[day][metric].values()) for day in days)

    def money(days: Iterable[date], currency: str) -> str:
        amount = sum(daily[day][Metric.REVENUE].get(currency, 0) for day in days)
        return decimal_string(amount, currency)

    return {
        "users": {
            "total": sums[Metric.USERS].get("", 0),
            "new_today": over([seen["today"]], Metric.USERS),
            "new_7d": over(seen["week"], Metric.USERS),
            "banned": sums[Metric.BANNED].get("", 0),
        },
        "subscriptions": {
            "active": seen["active"],
            "expiring_7d": seen["expiring_7d"],
            "expired": seen["expired"],
        },
        "payments": {
            "pending": seen["pending"],
            "approved": sum(sums[Metric.PAYMENTS].values()),
            "rejected": sums[Metric.REJECTED].get("", 0),
            "by_method": dict(sums[Metric.PAYMENTS]),
        },
        "revenue": {
            currency: {
                "total": decimal_string(amount, currency),
                "today": money([seen["today"]], currency),
                "last_7d": money(seen["week"], currency),
                "last_30d": money(seen["month"], currency),
            }
            for currency, amount in sums[Metric.REVENUE].items()
        },
        "daily": [
            {
                "date": day,
                "users": over([day], Metric.USERS),
                "payments": over([day], Metric.PAYMENTS),
                "revenue": {
                    currency: decimal_string(amount, currency)
                    for currency, amount in daily[day][Metric.REVENUE].items()
                },
            }
            for day in seen["days"]
        ],
        "coupons": {
            "issued": sums[Metric.COUPONS_ISSUED].get("", 0),
            "redeemed": sums[Metric.COUPONS_REDEEMED].get("", 0),
        },
        "notifications": {"pending": seen["waiting"], "failed": seen["dead"]},
    }
