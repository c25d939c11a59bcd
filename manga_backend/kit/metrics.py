"""What Prometheus reads: counts and times of all processes on this machine together.

Each process writes its own files (prometheus_client's multiprocess mode, a folder that is
named before this module is imported); whoever answers /metrics adds them up.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from functools import lru_cache, wraps
from pathlib import Path
from typing import ParamSpec, Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Metric, generate_latest
from prometheus_client.core import GaugeMetricFamily as GaugeMetricFamily
from prometheus_client.multiprocess import MultiProcessCollector

from manga_backend.kit.metrics_folder import folder_in_use, forget_live_gauges, is_begun

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
SECONDS = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

_requests = Histogram(
    "manga_http_request_seconds",
    "Time to answer, by route, method and status.",
    ("route", "method", "status"),
    buckets=SECONDS,
)
_jobs = Histogram(
    "manga_job_seconds",
    "Time that jobs and schedules take, by name and how they end.",
    ("task", "outcome"),
    buckets=(0.01, 0.1, 1.0, 10.0, 60.0, 600.0),
)
_calls = Histogram(
    "manga_telegram_call_seconds",
    "Time that calls of the Bot API take, by method and how they end.",
    ("method", "outcome"),
    buckets=(0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0),
)
_updates = Counter("manga_telegram_updates", "Updates of Telegram, by how they end.", ("outcome",))
_messages = Counter("manga_messages", "Messages of the outbox, by how they end.", ("outcome",))
_faults = Counter("manga_faults", "Unhandled errors and alarms, by logger.", ("logger",))
_leaders = Gauge(
    "manga_leaders",
    "Processes that lead: 1 in a deployment.",
    ("machine",),
    multiprocess_mode="livesum",
)

log = logging.getLogger(__name__)

Numbers = Callable[[], Iterable[GaugeMetricFamily]]
"""Reads what stands in the database, at each scrape."""


P = ParamSpec("P")


def _never_in_the_way(count: Callable[P, None]) -> Callable[P, None]:
    """Somebody may have swept the folder away: what is counted then is lost, and nothing else."""

    @wraps(count)
    def counting(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            count(*args, **kwargs)
        except OSError as error:
            log.debug("not counted: %s", error)

    return counting


class _Timer(Protocol):
    def observe(self, amount: float) -> None: ...


@lru_cache(maxsize=4096)
def _request_timer(route: str, method: str, status: int) -> _Timer:
    """Looking a child up by its labels costs more than the observation itself."""
    return _requests.labels(route, method if method in METHODS else "other", str(status))


@_never_in_the_way
def observe_request(route: str, method: str, status: int, seconds: float) -> None:
    """One answered request; `route` is the rule and not the path, of which there are too many."""
    _request_timer(route, method, status).observe(seconds)


@_never_in_the_way
def observe_job(job: str, outcome: str, seconds: float) -> None:
    """One run of a job: `done` or `failed`."""
    _jobs.labels(job, outcome).observe(seconds)


@_never_in_the_way
def observe_call(method: str, outcome: str, seconds: float) -> None:
    """One call of the Bot API: `ok`, the status that it refused with, or `unreachable`."""
    _calls.labels(method, outcome).observe(seconds)


@_never_in_the_way
def count_update(outcome: str) -> None:
    """One update of Telegram: `handled`, `refused` or `failed`."""
    _updates.labels(outcome).inc()


@_never_in_the_way
def count_messages(outcome: str, count: int = 1) -> None:
    """Messages of the outbox: `sent`, `failed` (to be tried again), `dead` or `unreachable`."""
    _messages.labels(outcome).inc(count)


@_never_in_the_way
def count_fault(logger: str) -> None:
    """One alarm."""
    _faults.labels(logger).inc()


@_never_in_the_way
def set_leading(leading: bool) -> None:
    """Whether this process leads."""
    _leaders.labels("here").set(int(leading))


def gauge(
    name: str, meaning: str, values: Iterable[tuple[Iterable[str], float]], *labels: str
) -> GaugeMetricFamily:
    """A number read at the scrape: label values and the number itself, for each."""
    family = GaugeMetricFamily(f"manga_{name}", meaning, labels=labels)
    for found, number in values:
        family.add_metric(list(found), number)
    return family


class _Read:
    """What was read for this scrape, in the shape that a registry takes."""

    def __init__(self, families: Iterable[GaugeMetricFamily]) -> None:
        self._families = list(families)

    def collect(self) -> Iterable[GaugeMetricFamily]:
        return self._families


class _AllProcesses(MultiProcessCollector):
    """Reads while other processes start, end and are scraped."""

    def __init__(self, registry: CollectorRegistry, folder: Path) -> None:
        super().__init__(registry, str(folder))  # type: ignore[no-untyped-call]
        self._folder = folder

    def collect(self) -> Iterable[Metric]:
        files = [str(file) for file in self._folder.glob("*.db") if is_begun(file)]
        merged: Iterable[Metric] = self.merge(files)  # type: ignore[no-untyped-call]
        return merged


def exposition(families: Iterable[GaugeMetricFamily]) -> bytes:
    """All processes' numbers and those read just now, in Prometheus' text format."""
    registry = CollectorRegistry()
    folder = folder_in_use()
    if folder and folder.is_dir():
        forget_live_gauges(folder)
        _AllProcesses(registry, folder)
    else:  # one process by itself: a test, or an app started in another way
        for metric in (_requests, _jobs, _calls, _updates, _messages, _faults, _leaders):
            registry.register(metric)
    registry.register(_Read(families))
    return bytes(generate_latest(registry))
