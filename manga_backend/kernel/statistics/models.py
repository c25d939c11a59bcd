"""Roll-ups: half-hour buckets and totals."""

from __future__ import annotations

from sqlalchemy import BigInteger, Index, Text
from sqlalchemy.orm import Mapped, mapped_column

from manga_backend.kernel.statistics.types import Metric
from manga_backend.kit.db import Model, enum_type


class StatisticsBucket(Model):
    """What happened in one half hour of UTC (a day of TIMEZONE begins on its border)."""

    __tablename__ = "statistics_buckets"
    __table_args__ = (Index(None, "slot"),)

    metric: Mapped[Metric] = mapped_column(enum_type(Metric, "metric"), primary_key=True)
    slot: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    """Seconds since 1970 divided by 1800."""
    label: Mapped[str] = mapped_column(Text, primary_key=True)
    value: Mapped[int]


class StatisticsTotal(Model):
    """The sum of all buckets of a metric."""

    __tablename__ = "statistics_totals"

    metric: Mapped[Metric] = mapped_column(enum_type(Metric, "metric"), primary_key=True)
    label: Mapped[str] = mapped_column(Text, primary_key=True)
    value: Mapped[int]
