"""/admin/system/stats"""

from __future__ import annotations

from typing import Any

from manga_backend.kernel.statistics import queries, schemas
from manga_backend.kernel.statistics.domain import days_between
from manga_backend.kernel.statistics.permissions import READ_STATS
from manga_backend.kit.http import Blueprint
from manga_backend.kit.principal import require
from manga_backend.kit.replica import from_replica

stats = Blueprint(
    "statistics_stats",
    __name__,
    url_prefix="/admin/system",
    description="The numbers of the business, for admins.",
)


@stats.route("/stats")
@require(READ_STATS)
@stats.arguments(schemas.StatsQuerySchema, location="query")
@stats.response(200, schemas.StatsSchema)
def read_stats(query: dict[str, Any]) -> Any:
    """Users, subscriptions, payments and revenue; days are days of TIMEZONE."""
    days = days_between(*schemas.asked_days(query, queries.today()))
    return schemas.as_stats(from_replica(lambda: queries.overview(days)))
