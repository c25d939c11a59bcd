"""Background work: RQ wake-ups after a commit, and schedules that the leader sees to.

Rows decide what is due; a job or a schedule is only a wake-up, so a lost one delays and never
loses, and one too many finds nothing to do.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar

import redis
from flask import Flask, current_app
from rq import Queue, get_current_job
from rq.serializers import JSONSerializer
from sqlalchemy import Text, bindparam, func, select, update
from sqlalchemy.orm import Mapped, mapped_column

from manga_backend.kit import clock
from manga_backend.kit.alarms import is_database_away
from manga_backend.kit.db import Model, after_commit, new_id, read_one, transaction, write_one
from manga_backend.kit.i18n import N_
from manga_backend.kit.leader import Stop
from manga_backend.kit.logging import Outage, current_request_id, working_on
from manga_backend.kit.metrics import observe_job
from manga_backend.kit.registry import Registry
from manga_backend.kit.settings import CoreSettings, refresh, settings

log = logging.getLogger(__name__)

T = TypeVar("T")

QUEUE = "manga_backend"
_ORIGIN = "request_id"
"""In a job's meta: the request or update that asked for it, for the log."""
WAKE_SECONDS = 5
"""How long one wake-up stands for all that follow it."""
REDIS_PATIENCE_SECONDS = 0.5
REDIS_RETRY_SECONDS = 10
TICK_SECONDS = 5.0
LOOK_SECONDS = 2.0
LONGEST_RUN = timedelta(hours=1)
"""A run that did not say by then how it went is due again: its process or the database died."""
AGAIN_AFTER = timedelta(seconds=15)
"""After a run that failed because the database was away."""

Job = Callable[[], None]
jobs: Registry[Job] = Registry("jobs")
"""Name → what to do; a job opens its own transactions and may run twice."""


@dataclass(frozen=True)
class Schedule:
    """A job that the leader starts every so often."""

    job: str
    every: timedelta


schedules: Registry[Schedule] = Registry("schedules")


class ScheduledRun(Model):
    """When a schedule last ran, for how long, and what went wrong."""

    __tablename__ = "scheduled_runs"

    name: Mapped[str] = mapped_column(Text, primary_key=True)
    due_at: Mapped[datetime]
    started_at: Mapped[datetime | None]
    duration_ms: Mapped[int | None]
    error: Mapped[str | None]


_DUE_NOW = (
    update(ScheduledRun)
    .where(ScheduledRun.name == bindparam("wanted"), ScheduledRun.due_at > bindparam("now"))
    .values(due_at=bindparam("now"))
)
"""Without Redis a schedule is woken by its row: the leader may be another process."""
_SOONEST = select(func.min(ScheduledRun.due_at).label("due_at")).where(
    ScheduledRun.name.in_(bindparam("names", expanding=True))
)


class _Broker:
    """The Redis of this app; while it is away, nobody waits for it twice within 10 s."""

    def __init__(self, url: str) -> None:
        self.connection = redis.Redis.from_url(
            url,
            socket_timeout=REDIS_PATIENCE_SECONDS,
            socket_connect_timeout=REDIS_PATIENCE_SECONDS,
        )
        self.queue = Queue(QUEUE, connection=self.connection, serializer=JSONSerializer)
        self._away_until = 0.0
        self.outage = Outage(
            log,
            N_("Redis is away, the sweepers do its work"),
            N_("Redis answers again"),
            alarm=True,
        )

    def wake(self, name: str) -> None:
        self.attempt(lambda: self._enqueue(name))

    def attempt(self, action: Callable[[], T]) -> T | None:
        """What Redis answers; None while it is away, without waiting for it again."""
        if time.monotonic() < self._away_until:
            return None
        try:
            answer = action()
        except redis.RedisError as error:
            self._away_until = time.monotonic() + REDIS_RETRY_SECONDS
            self.outage.begins(_in_words(error))
            return None
        self.outage.ends()
        return answer

    def _enqueue(self, name: str) -> None:
        if self.connection.set(_flag(name), 1, nx=True, ex=WAKE_SECONDS):
            self.queue.enqueue(
                run,
                name,
                result_ttl=0,
                failure_ttl=3600,
                job_timeout=900,
                meta={_ORIGIN: current_request_id()},
            )

    def woken(self, name: str) -> None:
        try:
            self.connection.delete(_flag(name))
        except redis.RedisError as error:
            log.debug("wake-up flag of %s stays: %s", name, error)


def _in_words(error: redis.RedisError) -> str:
    """Redis itself speaks of HELLO and RESP where only a password is wrong."""
    refused = isinstance(error, redis.AuthenticationError)
    return "it refuses the password of REDIS_URL" if refused else str(error)


def _flag(name: str) -> str:
    return f"{QUEUE}:wake:{name}"


class _Local:
    """Without Redis a thread of the leader waits on these flags."""

    def __init__(self) -> None:
        self.flags: dict[str, threading.Event] = {}

    def flag(self, name: str) -> threading.Event:
        return self.flags.setdefault(name, threading.Event())


_BROKER, _LOCAL = "kit.jobs.broker", "kit.jobs.local"


def broker() -> _Broker | None:
    """The app's Redis, or None in the embedded mode."""
    url = settings(CoreSettings).redis_url
    if not url:
        return None
    if _BROKER not in current_app.extensions:
        current_app.extensions[_BROKER] = _Broker(url)
    found: _Broker = current_app.extensions[_BROKER]
    return found


def local_flag(name: str) -> threading.Event:
    """Set when this process has something for `name` to do."""
    local: _Local = current_app.extensions.setdefault(_LOCAL, _Local())
    return local.flag(name)


def wake(name: str) -> None:
    """After the running transaction commits, have `name` run soon."""

    def now() -> None:
        redis_broker = broker()
        if redis_broker is not None:
            redis_broker.wake(name)
            return
        local_flag(name).set()
        if schedules.find(name) is not None:
            write_one(_DUE_NOW, {"wanted": name, "now": clock.now()})

    after_commit(now)


def run(name: str) -> None:
    """What RQ calls: one registered job, inside the worker's app."""
    redis_broker = broker()
    if redis_broker is not None:
        redis_broker.woken(name)
    job = get_current_job()
    origin = str(job.meta.get(_ORIGIN) or f"job-{job.id}") if job else f"job-{name}"
    app: Flask = current_app._get_current_object()  # type: ignore[attr-defined]
    with app.app_context(), working_on(origin), _timed(name):
        refresh()
        jobs[name]()


@contextmanager
def _timed(name: str) -> Iterator[None]:
    """Count one run, and how it ended."""
    began, outcome = time.perf_counter(), "failed"
    try:
        yield
        outcome = "done"
    finally:
        observe_job(name, outcome, time.perf_counter() - began)


def tick() -> float:
    """Start each schedule that is due, once; returns seconds until the next is due.

    With Redis a due run is handed to the workers; without, it runs here. A schedule that was
    missed while nobody led is due now, once. Only the leader calls this.
    """
    soonest = TICK_SECONDS * 12
    for name, schedule in schedules.items():
        now = clock.now()
        with transaction() as current:
            row = current.get(ScheduledRun, name)
            if row is None:
                row = ScheduledRun(name=name, due_at=now)
                current.add(row)
            # Further off than one interval is only what a clock that was set back has left.
            due = row.due_at <= now or row.due_at > now + schedule.every
            if due:
                row.due_at = now + min(schedule.every, LONGEST_RUN)
            soonest = min(soonest, (row.due_at - now).total_seconds())
        if due:
            redis_broker = broker()
            if redis_broker is None:
                run_schedule(name)
            else:
                _hand_over(redis_broker, name)
    return max(1.0, soonest)


def _hand_over(redis_broker: _Broker, name: str) -> None:
    """To the workers; while Redis is away the run stays due, or a daily one would miss its day."""
    try:
        timeout = int(LONGEST_RUN.total_seconds())
        redis_broker.queue.enqueue(run_schedule, name, result_ttl=0, job_timeout=timeout)
    except redis.RedisError:
        with transaction() as current:
            row = current.get(ScheduledRun, name)
            if row is not None:
                row.due_at = clock.now()
        raise


def run_schedule(name: str) -> None:
    """Run one schedule's job and note how it went and when it is due again; its failure is noted
    and logged, not raised. After one that the database was away for it is due soon, whatever its
    interval: a daily one must not miss its day, nor stand as failed for an hour."""
    started, begun = clock.now(), time.monotonic()
    error, pause = None, schedules[name].every
    with working_on(f"schedule-{name}-{new_id().hex[-8:]}"):
        try:
            with _timed(name):
                refresh()
                jobs[schedules[name].job]()
        except Exception as fault:
            log.exception("scheduled %s failed", name)
            error = f"{type(fault).__name__}: {fault}"[:500]
            if is_database_away(fault):
                pause = min(pause, AGAIN_AFTER)
    with transaction() as current:
        row = current.get(ScheduledRun, name, populate_existing=True, with_for_update=True)
        if row is not None:
            row.started_at = started
            row.duration_ms = int((time.monotonic() - begun) * 1000)
            row.error = error
            if row.due_at > clock.now():  # else somebody asked for it meanwhile
                row.due_at = started + pause


def last_error_of(schedule: str) -> str | None:
    """What went wrong when a schedule last ran; None when it went well or never ran."""
    run = read_one(select(ScheduledRun.error).where(ScheduledRun.name == schedule), {})
    return run["error"] if run else None


def scheduler(app: Flask, stop: Stop) -> None:
    """The leader's duty: tick until told to stop."""
    while not stop.is_set():
        with app.app_context():
            try:
                pause = tick()
            except redis.RedisError as error:
                if (redis_broker := broker()) is not None:
                    redis_broker.outage.begins(_in_words(error))
                pause = REDIS_RETRY_SECONDS
        with stop.idle(), app.app_context():
            _rest(stop, pause)


def _rest(stop: Stop, seconds: float) -> None:
    """Until something is due: without Redis looked for every LOOK_SECONDS, by one statement."""
    if settings(CoreSettings).redis_url:
        stop.wait(seconds)
        return
    until = time.monotonic() + seconds
    names = [name for name, _ in schedules.items()]  # others are of products that are off
    while not stop.wait(min(LOOK_SECONDS, max(0.0, until - time.monotonic()))):
        soonest = read_one(_SOONEST, {"names": names})
        is_due = soonest is not None and soonest["due_at"] and soonest["due_at"] <= clock.now()
        if is_due or time.monotonic() >= until:
            return
