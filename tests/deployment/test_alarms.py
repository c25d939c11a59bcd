"""Real processes that break: one message to each admin, whoever of them broke."""

from __future__ import annotations

import fcntl
import json
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, text

from manga_backend.app import create_app
from manga_backend.kit.alarm_limits import EVERY_SECONDS, FILE_NAME
from manga_backend.kit.settings import database_url
from tests.conftest import migrate
from tests.deployment.processes import Web, Worker, eventually
from tests.standins.telegram import BotApiStandIn, Message
from tests.support import ADMIN_IDS
from tools.services import PostgresServer, RedisServer


def change_database(settings: dict[str, str], statement: str) -> None:
    """As a deployment that went wrong would."""
    folder = Path(settings["INSTANCE_PATH"])
    engine = create_engine(database_url(settings.get("DATABASE_URL", ""), folder))
    with engine.begin() as connection:
        connection.execute(text(statement))
    engine.dispose()


def five_minutes_pass(settings: dict[str, str]) -> None:
    with (Path(settings["INSTANCE_PATH"]) / FILE_NAME).open("r+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        state = json.load(file)
        state["told"] = []
        for place in state["places"].values():
            place["told_at"] -= EVERY_SECONDS + 1
        file.seek(0)
        file.truncate()
        json.dump(state, file)


def told(telegram: BotApiStandIn, admin: int, words: str) -> list[Message]:
    return [m for m in telegram.messages(admin) if m.from_bot and words in m.text]


@pytest.fixture(params=["postgresql", "sqlite"])
def values(request: pytest.FixtureRequest) -> dict[str, str]:
    """Both databases, embedded mode, two workers."""
    name = "settings" if request.param == "postgresql" else "sqlite_settings"
    found: dict[str, str] = request.getfixturevalue(name)
    return {**found, "WEB_CONCURRENCY": "2"}


def times(message: Message) -> int:
    """How often it happened, as it says."""
    found = re.search(r"happened (\d+) times", message.text)
    return int(found[1]) if found else 1


def missed(settings: dict[str, str]) -> int:
    """What is written down to be told the next time."""
    with (Path(settings["INSTANCE_PATH"]) / FILE_NAME).open() as file:
        fcntl.flock(file, fcntl.LOCK_SH)  # else it may be just being written
        state = json.load(file)
    return sum(place["missed"] for place in state["places"].values())


class TestGunicorn:
    def test_two_workers_that_break_are_one_message_and_later_one_that_counts(
        self, values: dict[str, str], telegram: BotApiStandIn, start: Any
    ) -> None:
        web = start(Web, values)
        change_database(values, "ALTER TABLE plans RENAME COLUMN price TO gone")

        def call(_number: int) -> str:
            answer = web.call("GET", "/api/plans")
            assert answer.status_code == 500, answer.text
            return answer.headers["X-Request-ID"]

        ids: list[str] = []

        def both_broke() -> bool:
            with ThreadPoolExecutor(4) as pool:
                ids.extend(pool.map(call, range(30)))
            lines = web.logged("unhandled error in GET /api/plans")
            return len({line["process"] for line in lines}) == 2

        eventually(both_broke)
        for admin in ADMIN_IDS:
            message = telegram.wait_for_message(admin, contains="/api/plans")
            assert any(request_id in message.text for request_id in ids)
            assert "manga_backend/kernel/memberships/" in message.text

        first = times(told(telegram, ADMIN_IDS[0], "/api/plans")[0])
        eventually(lambda: missed(values) == len(ids) - first)
        five_minutes_pass(values)
        call(0)
        for admin in ADMIN_IDS:
            eventually(lambda: len(told(telegram, admin, "/api/plans")) > 1)  # noqa: B023
            messages = told(telegram, admin, "/api/plans")
            assert [times(m) for m in messages] == [first, len(ids) + 1 - first]

    def test_the_last_words_of_a_process_are_told(
        self, values: dict[str, str], telegram: BotApiStandIn, start: Any
    ) -> None:
        web = start(Web, values)
        change_database(values, "ALTER TABLE plans RENAME COLUMN price TO gone")
        web.call("GET", "/api/plans")
        web.stop()
        for admin in ADMIN_IDS:
            assert len(told(telegram, admin, "/api/plans")) == 1


class TestDatabaseAway:
    def test_the_admins_read_once_that_it_is_away_and_once_that_it_is_back(
        self,
        settings: dict[str, str],
        telegram: BotApiStandIn,
        start: Any,
    ) -> None:
        with PostgresServer() as server:
            server.create_database("alone")
            values = {**settings, "DATABASE_URL": server.url("alone")}
            migrate(create_app(values))
            web = start(Web, values)
            web.leader()
            server.stop()
            for admin in ADMIN_IDS:
                telegram.wait_for_message(admin, contains="The database is away")
            body = {"username": "somebody", "password": "whatever it is"}
            assert web.call("POST", "/auth/login", json=body).status_code == 503
            server.start()
            for admin in ADMIN_IDS:
                telegram.wait_for_message(admin, contains="The database answers again", timeout=20)
            web.leader()
            for admin in ADMIN_IDS:
                found = [m.text for m in telegram.messages(admin) if m.from_bot]
                assert len(found) == 2, found


class TestWorker:
    def test_that_delivery_itself_broke_is_told_all_the_same(
        self, settings: dict[str, str], telegram: BotApiStandIn, start: Any
    ) -> None:
        with RedisServer() as redis:
            values = {**settings, "REDIS_URL": redis.url()}
            start(Worker, values)
            change_database(values, "ALTER TABLE notifications RENAME COLUMN due_at TO gone")
            for admin in ADMIN_IDS:
                message = telegram.wait_for_message(admin, contains="UndefinedColumn", timeout=15)
                assert "kernel/notifications/" in message.text
