"""Numbers that are read when Prometheus asks, and who may ask."""

from __future__ import annotations

import hmac
import logging
from collections.abc import Iterator
from datetime import datetime
from ipaddress import ip_address

from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from manga_backend.kernel.operations.service.backups import list_backups
from manga_backend.kernel.operations.service.health import readiness
from manga_backend.kernel.operations.settings import BackupSettings, MetricsSettings
from manga_backend.kit import clock
from manga_backend.kit.db import reading, session, transaction
from manga_backend.kit.jobs import ScheduledRun
from manga_backend.kit.metrics import GaugeMetricFamily, Numbers, exposition, gauge
from manga_backend.kit.principal import Forbidden
from manga_backend.kit.registry import Registry
from manga_backend.kit.settings import settings

log = logging.getLogger(__name__)

numbers: Registry[Numbers] = Registry("operations.numbers")
"""Each reads its package's numbers, in a transaction that only reads."""


def require_scraper(address: str | None, is_forwarded: bool, bearer: str) -> None:
    """Forbidden for all but who has METRICS_TOKEN, or, without one, programs of this machine that
    came through no proxy."""
    token = settings(MetricsSettings).token
    if token:
        if not hmac.compare_digest(bearer.encode(), token.encode()):
            raise Forbidden
    elif is_forwarded or not _is_loopback(address):
        raise Forbidden


def _is_loopback(address: str | None) -> bool:
    try:
        return bool(address) and ip_address(address or "").is_loopback
    except ValueError:
        return not address  # a Unix socket has none


def read_metrics() -> bytes:
    """All that there is, in Prometheus' text format. What can't be read (the database is away) is
    left out: the checks say so."""
    return exposition(_read())


def _read() -> Iterator[GaugeMetricFamily]:
    checks = readiness()
    yield gauge(
        "check_ok",
        "Parts of the deployment, as in /health/ready.",
        [((name,), float(check.ok)) for name, check in checks.items()],
        "check",
    )
    for name, read in numbers.items():
        try:
            with reading(), transaction():
                found = list(read())
        except SQLAlchemyError as error:
            log.warning("the numbers of %s are left out: %s", name, type(error).__name__)
        else:
            yield from found


def read_runs() -> Iterator[GaugeMetricFamily]:
    """When schedules ran, how long, and whether it went wrong."""
    rows = session().scalars(select(ScheduledRun).where(ScheduledRun.started_at.is_not(None))).all()
    yield gauge(
        "schedule_last_run_timestamp_seconds",
        "When a schedule last began.",
        [((row.name,), _unix(row.started_at)) for row in rows],
        "schedule",
    )
    yield gauge(
        "schedule_last_run_seconds",
        "How long its last run took.",
        [((row.name,), (row.duration_ms or 0) / 1000) for row in rows],
        "schedule",
    )
    yield gauge(
        "schedule_failed",
        "Whether its last run failed.",
        [((row.name,), float(row.error is not None)) for row in rows],
        "schedule",
    )


def read_backup_age() -> Iterator[GaugeMetricFamily]:
    """Of the newest backup, where there is one."""
    newest = next(iter(list_backups(settings(BackupSettings).folder)), None)
    if newest is not None:
        moment = [((), newest.created_at.timestamp())]
        yield gauge("backup_last_timestamp_seconds", "When the newest backup was made.", moment)
        size = [((), float(newest.size))]
        yield gauge("backup_last_bytes", "How large it is.", size)


def _unix(moment: datetime | None) -> float:
    return (moment or clock.now()).timestamp()
