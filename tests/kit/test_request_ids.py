"""A log line says which request, job or update it belongs to, also in another process."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from rq import Queue, SimpleWorker
from rq.serializers import JSONSerializer

from manga_backend.kernel.telegram.service import updates
from manga_backend.kit.db import transaction
from manga_backend.kit.jobs import QUEUE, Schedule, broker, jobs, run_schedule, schedules, wake
from manga_backend.kit.logging import current_request_id, working_on
from tests.conftest import Deployment
from tests.support import Api
from tests.variants import variant
from tools.services import RedisServer

log = logging.getLogger("tests.request_ids")


class Seen(logging.Handler):
    """The ids under which something was logged here."""

    def __init__(self) -> None:
        super().__init__()
        self.ids: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.ids.append(current_request_id())


@pytest.fixture
def seen() -> Iterator[Seen]:
    handler = Seen()
    log.addHandler(handler)
    yield handler
    log.removeHandler(handler)


def speak() -> None:
    log.warning("at work")


class TestNesting:
    def test_the_first_id_stays(self) -> None:
        assert current_request_id() == ""
        with working_on("update-7"), working_on("job-1"):
            assert current_request_id() == "update-7"
        assert current_request_id() == ""


class TestJobs:
    def test_a_job_goes_on_with_the_id_of_the_request_that_woke_it(
        self, on_sqlite: Deployment, redis_server: RedisServer, seen: Seen
    ) -> None:
        on_sqlite.reset()
        with variant(on_sqlite.settings, REDIS_URL=redis_server.url(7)) as app, app.app_context():
            jobs.register(app, "test.speak", speak)
            with working_on("req-from-a-phone"), transaction():
                wake("test.speak")
            found = broker()
            assert found is not None
            _work_off(found.connection)
            found.connection.delete("manga_backend:wake:test.speak")
            with transaction():
                wake("test.speak")
            _work_off(found.connection)
        assert seen.ids[0] == "req-from-a-phone"
        assert seen.ids[1].startswith("job-")

    def test_a_schedule_has_an_id_of_its_own(self, on_sqlite: Deployment, seen: Seen) -> None:
        on_sqlite.reset()
        with variant(on_sqlite.settings) as app, app.app_context():
            _plan(app)
            run_schedule("test.speak")
        assert seen.ids[0].startswith("schedule-test.speak-")


def _plan(app: Flask) -> None:

    jobs.register(app, "test.speak", speak)
    schedules.register(app, "test.speak", Schedule("test.speak", timedelta(hours=1)))


def _work_off(connection: Any) -> None:
    queue = Queue(QUEUE, connection=connection, serializer=JSONSerializer)
    SimpleWorker([queue], connection=connection, serializer=JSONSerializer).work(burst=True)


class TestBot:
    def test_an_update_is_named_by_its_number(
        self, api: Api, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        named: list[str] = []
        monkeypatch.setattr(updates, "_dispatch", lambda _: named.append(current_request_id()))
        payload = {
            "update_id": 990_001,
            "message": {
                "message_id": 1,
                "date": 1_795_700_000,
                "chat": {"id": 5, "type": "private"},
                "from": {"id": 5, "is_bot": False, "first_name": "Anna"},
                "text": "/help",
            },
        }
        with api.app.app_context():
            with transaction():
                updates.store_update(payload)
            updates.handle_update(990_001)
        assert named == ["update-990001"]
