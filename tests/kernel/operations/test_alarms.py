"""Faults of requests, jobs and schedules reach every admin, whatever else is away."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import redis
import time_machine
from flask_smorest import abort
from rq import Queue
from rq.serializers import JSONSerializer
from sqlalchemy import select

from manga_backend.kernel.approvals import jobs as approval_jobs
from manga_backend.kernel.identity.types import Role
from manga_backend.kernel.notifications.models import Notification
from manga_backend.kernel.operations.runner import JobWorker
from manga_backend.kernel.telegram.service.updates import commands
from manga_backend.kernel.telegram.types import BotCommand
from manga_backend.kit import alarms, clock
from manga_backend.kit.app import App
from manga_backend.kit.jobs import QUEUE, Schedule, jobs, run, run_schedule, schedules
from manga_backend.kit.principal import public
from tests.conftest import Deployment, migrate
from tests.kernel.factories import at_work, make_user
from tests.standins.telegram import BotApiStandIn, Message
from tests.support import ADMIN_IDS, Api, at_once
from tests.variants import logged, variant
from tools.services import PostgresServer, RedisServer

LATER = timedelta(minutes=5, seconds=1)
TOKEN = "1000:stand-in"


@pytest.fixture(autouse=True)
def ringing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alarms, "PACE_SECONDS", 0.0)
    monkeypatch.setattr(alarms.bell, "level", logging.NOTSET)


@pytest.fixture
def telegram() -> Iterator[BotApiStandIn]:
    """One of this test's own: admins' chats are empty at first."""
    with BotApiStandIn(open_chats=True) as stand_in:
        yield stand_in


def add_probes(app: App) -> None:
    @app.route("/breaks/<int:number>")
    @public
    def breaks(number: int) -> str:
        kind = type(f"Fault{number}", (Exception,), {})
        raise kind(
            f"<b>no</b> {app.config['SECRET_KEY']} {TOKEN} postgresql://app:d5n-pass@db/x"
            " socks5://me:pr0xy-pass@proxy:1080"
        )

    @app.route("/refuses")
    @public
    def refuses() -> str:
        abort(409)


@pytest.fixture
def api(deployment: Deployment, telegram: BotApiStandIn, tmp_path: Path) -> Iterator[Api]:
    """An app with a route that breaks; its alarms are counted in a folder of their own."""
    changes = {"INSTANCE_PATH": str(tmp_path), "TELEGRAM_API_URL": telegram.url}
    if deployment.kind == "sqlite":
        folder = deployment.settings["INSTANCE_PATH"]
        changes["DATABASE_URL"] = f"sqlite:///{folder}/manga.sqlite3"
    with variant(deployment.settings, **changes) as app:
        add_probes(app)
        yield Api(app, telegram)
        settle()


def settle(seconds: float = 20) -> None:
    """Until all is told that was logged so far."""
    with alarms.bell._changed:
        assert alarms.bell._changed.wait_for(
            lambda: not alarms.bell._noted and not alarms.bell._busy, seconds
        )


def alarms_of(telegram: BotApiStandIn, admin: int) -> list[Message]:
    return [m for m in telegram.messages(admin) if m.from_bot]


def queued(app: App) -> list[Notification]:
    with at_work(app) as current:
        return list(current.scalars(select(Notification).where(Notification.kind == "alarm")))


class TestRequests:
    def test_each_admin_reads_once_what_broke_and_where(
        self, api: Api, telegram: BotApiStandIn
    ) -> None:
        def call(_number: int) -> None:
            for _ in range(25):
                assert api.client().get("/breaks/1?token=query-secret").status_code == 500

        at_once(8, call)
        settle()
        for admin in ADMIN_IDS:
            (message,) = alarms_of(telegram, admin)
            assert "Fault1: <b>no</b>" in message.text
            assert "tests/kernel/operations/test_alarms.py:" in message.text
            assert "in breaks" in message.text
            assert "GET /breaks/1" in message.text
            assert "query-secret" not in message.text
        with time_machine.travel(clock.now() + LATER, tick=True):
            api.client().get("/breaks/1")
            settle()
        for admin in ADMIN_IDS:
            messages = alarms_of(telegram, admin)
            assert len(messages) == 2
            assert "times since the last message" in messages[1].text
        assert queued(api.app) == []

    def test_no_secret_is_told(self, api: Api, telegram: BotApiStandIn) -> None:
        api.client().get("/breaks/1")
        settle()
        (message,) = alarms_of(telegram, ADMIN_IDS[0])
        for secret in ("s" * 40, TOKEN, "d5n-pass", "pr0xy-pass"):
            assert secret not in message.text

    def test_the_request_id_is_the_one_that_the_caller_has(
        self, api: Api, telegram: BotApiStandIn
    ) -> None:
        answer = api.client().get("/breaks/1")
        telegram.wait_for_message(ADMIN_IDS[0], contains=answer.headers["X-Request-ID"])

    def test_refusals_are_no_faults(self, api: Api, telegram: BotApiStandIn) -> None:
        api.client().get("/refuses")
        api.client().get("/nothing")
        api.post("/auth/login", {"bad": 1})
        settle()
        assert alarms_of(telegram, ADMIN_IDS[0]) == []

    def test_fifty_places_are_ten_messages(self, api: Api, telegram: BotApiStandIn) -> None:
        for number in range(50):
            api.client().get(f"/breaks/{number}")
        settle()
        for admin in ADMIN_IDS:
            assert len(alarms_of(telegram, admin)) == 10

    def test_admins_with_an_account_read_it_in_their_language(
        self, api: Api, telegram: BotApiStandIn
    ) -> None:
        chat = 900077
        make_user(api.app, verified=True, role=Role.ADMIN, telegram_id=chat, language="en")
        api.client().get("/breaks/1")
        settle()
        assert len(alarms_of(telegram, chat)) == 1

    def test_with_the_bot_off_there_is_only_the_log(
        self, deployment: Deployment, telegram: BotApiStandIn, tmp_path: Path
    ) -> None:
        changes = {"TELEGRAM_API_URL": telegram.url, "TELEGRAM_MODE": "off"}
        with variant(deployment.settings, **changes, INSTANCE_PATH=str(tmp_path)) as app:
            add_probes(app)
            with logged() as lines:
                app.test_client().get("/breaks/1")
                settle()
        assert lines == ["unhandled error in GET /breaks/1"]
        assert telegram.calls() == []


class TestPanel:
    def test_a_page_that_breaks_is_told(self, api: Api, telegram: BotApiStandIn) -> None:
        view = "panel.login" if "panel.login" in api.app.view_functions else None
        endpoint = view or next(n for n in api.app.view_functions if n.startswith("panel"))
        rule = next(r for r in api.app.url_map.iter_rules() if r.endpoint == endpoint)

        def broken(**_: Any) -> str:
            raise RuntimeError("this page broke")

        broken.__dict__.update(api.app.view_functions[endpoint].__dict__)
        api.app.view_functions[endpoint] = broken
        answer = api.client().get(rule.rule)
        assert (answer.status_code, answer.mimetype) == (500, "text/html")
        settle()
        (message,) = alarms_of(telegram, ADMIN_IDS[0])
        assert "this page broke" in message.text
        assert f"GET {rule.rule}" in message.text


class TestTelegramAway:
    def test_nobody_waits_and_the_outbox_tells_it_later(
        self, api: Api, telegram: BotApiStandIn
    ) -> None:
        telegram.go_down()
        assert api.client().get("/breaks/1").status_code == 500
        settle()
        assert len(queued(api.app)) == len(ADMIN_IDS)
        telegram.come_back()
        api.deliver()
        for admin in ADMIN_IDS:
            telegram.wait_for_message(admin, contains="Fault1")
            assert len(alarms_of(telegram, admin)) == 1

    def test_who_was_told_before_it_went_is_not_told_twice(
        self, api: Api, telegram: BotApiStandIn
    ) -> None:
        telegram.fail_next("sendMessage", status=200)
        telegram.fail_next("sendMessage", status=429, retry_after=2)
        api.client().get("/breaks/1")
        settle()
        api.deliver()
        sent = [len(alarms_of(telegram, admin)) for admin in ADMIN_IDS]
        assert sum(sent) + len([r for r in queued(api.app) if r.sent_at is None]) == 2

    def test_an_admin_who_blocked_the_bot_keeps_nothing_from_the_other(
        self, api: Api, telegram: BotApiStandIn
    ) -> None:
        telegram.add_person(ADMIN_IDS[0])
        telegram.block(ADMIN_IDS[0])
        api.client().get("/breaks/1")
        settle()
        assert len(alarms_of(telegram, ADMIN_IDS[1])) == 1
        assert queued(api.app) == []


class TestDatabaseAway:
    @pytest.fixture
    def server(self) -> Iterator[PostgresServer]:
        with PostgresServer() as found:
            yield found

    @pytest.fixture
    def api(
        self, on_sqlite: Deployment, server: PostgresServer, telegram: BotApiStandIn, tmp_path: Path
    ) -> Iterator[Api]:
        """On a server of its own, with one admin who is known by an account only."""
        changes = {
            "INSTANCE_PATH": str(tmp_path),
            "TELEGRAM_API_URL": telegram.url,
            "DATABASE_URL": server.url(),
        }
        with variant(on_sqlite.settings, **changes) as app:
            add_probes(app)
            migrate(app)
            yield Api(app, telegram)
            settle()

    def test_the_admins_are_told_directly(
        self, api: Api, server: PostgresServer, telegram: BotApiStandIn
    ) -> None:
        chat = 900078
        make_user(api.app, verified=True, role=Role.ADMIN, telegram_id=chat)
        api.client().get("/breaks/1")
        settle()
        server.stop()
        assert api.client().get("/breaks/2").status_code == 500
        settle()
        for admin in (*ADMIN_IDS, chat):
            assert [m for m in alarms_of(telegram, admin) if "Fault2" in m.text]

    def test_with_telegram_away_too_it_is_tried_again(
        self, api: Api, server: PostgresServer, telegram: BotApiStandIn, monkeypatch: Any
    ) -> None:
        monkeypatch.setattr(approval_jobs, "PAUSES_SECONDS", (0, 0.5, 0.5, 0.5, 10))
        server.stop()
        telegram.go_down()
        api.client().get("/breaks/1")
        with pytest.raises(AssertionError):
            settle(0.5)
        telegram.come_back()
        settle()
        for admin in ADMIN_IDS:
            assert len(alarms_of(telegram, admin)) == 1


class TestJobs:
    def test_a_schedule_that_fails_is_told(self, api: Api, telegram: BotApiStandIn) -> None:
        def breaks() -> None:
            raise RuntimeError("no room for the backup")

        jobs.register(api.app, "test.backup", breaks)
        schedules.register(api.app, "test.backup", Schedule("test.backup", LATER))
        with api.app.app_context():
            run_schedule("test.backup")
        settle()
        (message,) = alarms_of(telegram, ADMIN_IDS[0])
        assert "no room for the backup" in message.text
        assert "scheduled test.backup failed" in message.text

    def test_a_job_of_the_worker_that_fails_is_told(
        self, api: Api, telegram: BotApiStandIn, redis_server: RedisServer, tmp_path: Path
    ) -> None:
        def breaks() -> None:
            raise RuntimeError("the job broke")

        jobs.register(api.app, "test.job", breaks)
        with (
            redis.Redis.from_url(redis_server.url()) as connection,
            api.app.app_context(),
            logged() as lines,
        ):
            queue = Queue(QUEUE, connection=connection, serializer=JSONSerializer)
            queue.enqueue(run, "test.job")
            worker = JobWorker([queue], connection=connection, serializer=JSONSerializer)
            worker.work(burst=True, logging_level="WARNING")
        settle()
        (message,) = alarms_of(telegram, ADMIN_IDS[0])
        assert "the job broke" in message.text
        assert "job test.job failed" in message.text
        assert lines.count("job test.job failed") == 1


class TestUpdates:
    def test_an_update_that_breaks_is_told_with_its_number(
        self, api: Api, telegram: BotApiStandIn
    ) -> None:
        def breaks(_command: Any) -> None:
            raise RuntimeError("the command broke")

        commands.register(api.app, "breaks", BotCommand(breaks, "Breaks"))
        telegram.send_text(700001, "/breaks")
        api.poll()
        settle()
        (message,) = alarms_of(telegram, ADMIN_IDS[0])
        assert "the command broke" in message.text
        assert "update " in message.text
