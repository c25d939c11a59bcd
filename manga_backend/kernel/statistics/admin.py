"""The dashboard's numbers."""

from __future__ import annotations

from datetime import timedelta
from functools import partial

from manga_backend.kernel.backoffice.messages import chart_of, plain
from manga_backend.kernel.backoffice.types import Card, Chart
from manga_backend.kernel.statistics import queries, schemas
from manga_backend.kernel.statistics.types import Metric
from manga_backend.kit.i18n import gettext, local_digits
from manga_backend.kit.money import decimal_string


def cards() -> list[Card]:
    """What an owner asks for every morning."""
    seen = schemas.as_stats(queries.overview([queries.today()]))
    users, subscriptions = seen["users"], seen["subscriptions"]
    failed = seen["notifications"]["failed"]

    def number(value: object) -> str:
        return local_digits(str(value))

    return [
        Card(gettext("Users"), number(users["total"]), "panel_users.index_view"),
        Card(gettext("New today"), number(users["new_today"]), "panel_users.index_view"),
        Card(
            gettext("Active subscriptions"),
            number(subscriptions["active"]),
            "panel_subscriptions.index_view",
        ),
        Card(
            gettext("Ending within 7 days"),
            number(subscriptions["expiring_7d"]),
            "panel_subscriptions.index_view",
        ),
        *(
            Card(
                gettext("Revenue today, %(currency)s", currency=currency),
                number(revenue["today"]),
                "panel_payments.index_view",
            )
            for currency, revenue in seen["revenue"].items()
        ),
        Card(
            gettext("Messages not delivered"),
            number(failed),
            "panel_notifications.index_view",
            urgent=failed > 0,
        ),
    ]


DAYS = 30


def _money(currency: str, value: int) -> str:
    return local_digits(decimal_string(value, currency))


def charts() -> list[Chart]:
    """The last DAYS days."""
    today = queries.today()
    days = [today - timedelta(days=DAYS - 1 - n) for n in range(DAYS)]
    daily = queries.by_day(days)

    def sums(metric: Metric, label: str | None = None) -> list[int]:
        by_label = [daily[day][metric] for day in days]
        if label is not None:
            return [found.get(label, 0) for found in by_label]
        return [sum(found.values()) for found in by_label]

    def of_count(title: str, metric: Metric, endpoint: str) -> Chart:
        values = sums(metric)
        return chart_of(title, days, values, plain(sum(values)), endpoint)

    decisions, waited = sums(Metric.DECISIONS), sums(Metric.DECISION_SECONDS)
    minutes = [seconds // (60 * max(1, n)) for n, seconds in zip(decisions, waited, strict=True)]
    on_average = sum(waited) // (60 * max(1, sum(decisions)))
    currencies = sorted({label for day in days for label in daily[day][Metric.REVENUE]})
    return [
        of_count(gettext("New users"), Metric.USERS, "panel_users.index_view"),
        *(
            chart_of(
                gettext("Revenue, %(currency)s", currency=currency),
                days,
                sums(Metric.REVENUE, currency),
                _money(currency, sum(sums(Metric.REVENUE, currency))),
                "panel_payments.index_view",
                partial(_money, currency),
            )
            for currency in currencies
        ),
        of_count(gettext("Decisions"), Metric.DECISIONS, "panel_desk.index"),
        chart_of(
            gettext("Minutes to a decision, on average"),
            *(days, minutes, plain(on_average), "panel_desk.index"),
        ),
        of_count(
            gettext("Messages not delivered"), Metric.GIVEN_UP, "panel_notifications.index_view"
        ),
    ]
