"""The dashboard's numbers."""

from __future__ import annotations

from manga_backend.kernel.backoffice.types import Card
from manga_backend.kernel.statistics import queries, schemas
from manga_backend.kit.i18n import gettext, local_digits


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
