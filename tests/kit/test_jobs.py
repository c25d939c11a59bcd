"""Schedules run once each, missed ones are made up for once; wake-ups come after the commit."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
import redis
import time_machine
from flask import Flask, current_app
from rq import Queue
from rq.serializers import JSONSerializer
from sqlalchemy import select, text

from manga_backend.kit import clock
from manga_backend.kit.app import App
from manga_backend.kit.db import db, read_one, transaction
from manga_backend.kit.jobs import (
    AGAIN_AFTER,
    QUEUE,
    Schedule,
    ScheduledRun,
    jobs,
    local_flag,
    run,
    run_schedule,
    scheduler,
    schedules,
    tick,
    wake,
)
from manga_backend.kit.leader import Stop
from tests.conftest import Deployment
from tests.deployment.processes import eventually
from tests.variants import dispose, logged, variant
from tools.services import PostgresServer, RedisServer, free_port

HOUR = timedelta(hours=1)


class Work:
    """A job that counts its runs and fails when told to."""

    def __init__(self) -> None:
        self.runs = 0
        self.fails = False
        self.meanwhile: Callable[[], object] = int

    def __call__(self) -> None:
        self.runs += 1
        if self.fails:
            raise RuntimeError("the disk is full")
        self.meanwhile()


def plan(app: Flask, work: Work) -> None:
    jobs.register(app, "test.work", work)
    schedules.register(app, "test.work", Schedule("test.work", HOUR))


@pytest.fixture
def work(deployment: Deployment) -> Iterator[Work]:
    """Inside an app on each database whose leader starts this job every hour."""
    found = Work()
    with variant(deployment.settings) as app:
        plan(app, found)
        with app.app_context():
            yield found


def list_scheduled_runs() -> list[ScheduledRun]:
    return list(db.session.scalars(select(ScheduledRun)))


def last_run() -> ScheduledRun:
    row = db.session.get(ScheduledRun, "test.work", populate_existing=True)
    assert row is not None
    return row


class TestTick:
    def test_new_schedule_runs_once(self, work: Work) -> None:
        tick()
        tick()
        assert work.runs == 1

    def test_runs_again_when_it_is_due(self, work: Work) -> None:
        tick()
        with time_machine.travel(last_run().due_at - timedelta(seconds=1), tick=False):
            tick()
        assert work.runs == 1
        with time_machine.travel(clock.now() + HOUR + timedelta(seconds=5)):
            tick()
        assert work.runs == 2

    def test_missed_ones_are_made_up_for_once(self, work: Work) -> None:
        tick()
        with time_machine.travel(clock.now() + 25 * HOUR):
            tick()
            tick()
        assert work.runs == 2

    def test_after_a_missed_one_the_hour_starts_anew(self, work: Work) -> None:
        tick()
        with time_machine.travel(clock.now() + 25.5 * HOUR, tick=False):
            tick()
            assert last_run().due_at == clock.now() + HOUR

    def test_says_when_the_next_is_due(self, work: Work) -> None:
        assert 1 <= tick() <= 60

    def test_notes_when_and_how_long(self, work: Work) -> None:
        before = clock.now()
        tick()
        row = last_run()
        assert row.started_at is not None
        assert before <= row.started_at <= clock.now()
        assert row.duration_ms is not None
        assert row.duration_ms >= 0
        assert row.error is None

    def test_failure_is_noted_and_logged_and_the_others_run(self, work: Work) -> None:
        work.fails = True
        with logged("manga_backend.kit.jobs") as lines:
            tick()
        assert last_run().error == "RuntimeError: the disk is full"
        assert lines == ["scheduled test.work failed"]
        others = [row for row in list_scheduled_runs() if row.name != "test.work"]
        assert others
        assert all(row.started_at and row.error is None for row in others)

    def test_failed_one_waits_for_its_next_time(self, work: Work) -> None:
        work.fails = True
        tick()
        tick()
        assert work.runs == 1

    def test_one_that_the_database_was_away_for_runs_again_soon(
        self, pg_app: App, on_postgres: Deployment, postgres: PostgresServer
    ) -> None:
        def lose() -> None:
            with postgres.away(str(db.engine.url.database)):
                read_one(text("SELECT 1"), {})

        work = Work()
        with variant(on_postgres.settings) as app, app.app_context():
            plan(app, work)
            work.meanwhile = lose
            tick()
            assert str(last_run().error).startswith("OperationalError")
            work.meanwhile = int
            tick()
            assert work.runs == 1
            with time_machine.travel(clock.now() + AGAIN_AFTER):
                tick()
            assert work.runs == 2
            assert last_run().error is None
        dispose(pg_app)

    def test_one_that_was_asked_for_meanwhile_is_due_at_once(self, work: Work) -> None:
        def ask() -> None:
            with transaction():
                wake("test.work")

        work.meanwhile = ask
        tick()
        work.meanwhile = int
        tick()
        tick()
        assert work.runs == 2

    def test_success_clears_the_failure(self, work: Work) -> None:
        work.fails = True
        tick()
        work.fails = False
        run_schedule("test.work")
        assert last_run().error is None


@pytest.fixture
def queue(redis_server: RedisServer) -> Iterator[Queue]:
    """What workers would take, at first nothing."""
    with redis.Redis.from_url(redis_server.url(8)) as client:
        client.flushdb()
        yield Queue(QUEUE, connection=client, serializer=JSONSerializer)


@pytest.fixture
def with_redis(
    on_sqlite: Deployment, redis_server: RedisServer, queue: Queue
) -> Iterator[tuple[App, Work]]:
    on_sqlite.reset()
    found = Work()
    with variant(on_sqlite.settings, REDIS_URL=redis_server.url(8)) as app:
        plan(app, found)
        with app.app_context():
            yield app, found


@pytest.fixture
def without_its_redis(on_sqlite: Deployment) -> Iterator[tuple[App, Work]]:
    on_sqlite.reset()
    found = Work()
    with variant(on_sqlite.settings, REDIS_URL=f"redis://127.0.0.1:{free_port()}/0") as app:
        plan(app, found)
        with app.app_context():
            yield app, found


def queued(queue: Queue) -> list[Any]:
    return [job.args[0] for job in queue.jobs]


class TestTickWithRedis:
    def test_hands_each_to_the_workers_once(
        self, with_redis: tuple[App, Work], queue: Queue
    ) -> None:
        tick()
        tick()
        assert queued(queue).count("test.work") == 1
        assert with_redis[1].runs == 0

    def test_one_that_nobody_heard_of_again_is_handed_over_again(
        self, with_redis: tuple[App, Work], queue: Queue
    ) -> None:
        schedules.register(with_redis[0], "test.daily", Schedule("test.work", 24 * HOUR))
        tick()
        queue.empty()  # a worker took it and was killed
        with time_machine.travel(clock.now() + HOUR):
            tick()
            assert queued(queue).count("test.daily") == 1
            run_schedule("test.daily")
            queue.empty()
        with time_machine.travel(clock.now() + 24 * HOUR):
            tick()
            assert queued(queue).count("test.daily") == 0
        with time_machine.travel(clock.now() + 25 * HOUR):
            tick()
            assert queued(queue).count("test.daily") == 1

    def test_one_that_redis_could_not_take_stays_due(
        self, without_its_redis: tuple[App, Work]
    ) -> None:
        for _ in range(2):
            with pytest.raises(redis.ConnectionError):
                tick()
        first = min(list_scheduled_runs(), key=lambda row: row.due_at)
        assert first.due_at <= clock.now()
        assert without_its_redis[1].runs == 0


@pytest.fixture
def waker(on_sqlite: Deployment) -> Iterator[App]:
    on_sqlite.reset()
    with variant(on_sqlite.settings) as app, app.app_context():
        yield app


class TestWake:
    def test_sets_the_flag_after_the_commit(self, waker: App) -> None:
        with transaction():
            wake("test.work")
            assert not local_flag("test.work").is_set()
        assert local_flag("test.work").is_set()

    def test_rolled_back_change_wakes_nobody(self, waker: App) -> None:
        with pytest.raises(RuntimeError), transaction():  # noqa: PT012
            wake("test.work")
            raise RuntimeError
        assert not local_flag("test.work").is_set()


class TestWakeWithRedis:
    def test_many_changes_are_one_job(self, with_redis: tuple[App, Work], queue: Queue) -> None:
        for _ in range(5):
            with transaction():
                wake("test.work")
        assert queued(queue) == ["test.work"]

    def test_change_after_a_job_began_is_another_job(
        self, with_redis: tuple[App, Work], queue: Queue
    ) -> None:
        with transaction():
            wake("test.work")
        run("test.work")
        with transaction():
            wake("test.work")
        assert queued(queue) == ["test.work"] * 2
        assert with_redis[1].runs == 1

    def test_redis_away_is_one_line_and_no_fault(self, without_its_redis: tuple[App, Work]) -> None:
        with logged("manga_backend.kit") as lines:
            for _ in range(5):
                with transaction():
                    wake("test.work")
        assert len(lines) == 1
        assert "Redis is away" in lines[0]


class TestWakeWithoutRedis:
    def test_makes_its_schedule_due_for_whoever_leads(self, work: Work) -> None:
        tick()
        with transaction():
            wake("test.work")
        assert last_run().due_at <= clock.now()
        tick()
        assert work.runs == 2

    def test_a_rollback_wakes_nobody(self, work: Work) -> None:
        tick()

        def fail() -> None:
            with transaction():
                wake("test.work")
                raise RuntimeError

        with pytest.raises(RuntimeError):
            fail()
        tick()
        assert work.runs == 1

    def test_the_leader_looks_every_two_seconds(self, work: Work) -> None:
        stop = Stop()
        app = current_app._get_current_object()  # type: ignore[attr-defined]
        leader = threading.Thread(target=scheduler, args=(app, stop))
        leader.start()
        try:
            eventually(lambda: work.runs == 1)
            with transaction():
                wake("test.work")
            eventually(lambda: work.runs == 2, within=12)  # a tick comes after 15 s
        finally:
            stop.set()
            leader.join(10)
