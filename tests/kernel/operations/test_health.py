"""Health, readiness and version."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import time_machine

from manga_backend.kernel.telegram.service import poller as telegram
from manga_backend.kit import clock
from manga_backend.kit.app import App
from manga_backend.kit.db import transaction
from manga_backend.version import VERSION
from tests.conftest import Deployment
from tests.standins.telegram import BotApiStandIn
from tests.support import Api, base_settings, counted_queries
from tests.variants import logged, variant
from tools.services import PostgresServer, RedisServer, free_port

READY = ("/health/ready", "/api/system/health")


def ready(app: App, path: str = READY[0]) -> tuple[int, dict[str, Any]]:
    answer = app.test_client().get(path)
    assert answer.mimetype == "application/json"
    body: dict[str, Any] = answer.get_json()
    assert sorted(body) == ["checks", "status"]
    for check in body["checks"].values():
        assert sorted(check) == ["detail", "ok"]
        assert check["detail"]
    return answer.status_code, body


def note(app: App, problem: str | None) -> None:
    with app.app_context(), transaction():
        telegram.note_poller(problem=problem, bot_username="two_manga_bot")


class TestHealth:
    @pytest.mark.parametrize("path", ["/health", "/health/live", "/health/", "/health/live/"])
    def test_is_one_word(self, api: Api, path: str) -> None:
        answer = api.client().get(path)
        assert (answer.status_code, answer.get_json()) == (200, {"status": "healthy"})

    @pytest.mark.parametrize("path", ["/health", "/health/live"])
    def test_asks_no_database(self, api: Api, path: str) -> None:
        with counted_queries(api.app) as statements:
            api.client().get(path)
        assert statements == []


class TestVersion:
    def test_says_what_is_deployed(self, api: Api) -> None:
        answer = api.client().get("/api/system/version")
        assert answer.status_code == 200
        assert answer.get_json() == {"name": "manga_backend", "version": VERSION}


class TestReady:
    @pytest.mark.parametrize("path", READY)
    def test_with_everything_in_place(self, api: Api, path: str) -> None:
        api.poll()
        status, body = ready(api.app, path)
        assert (status, body["status"]) == (200, "ready")
        assert {"database", "migrations", "redis", "telegram"} <= set(body["checks"])
        assert all(check["ok"] for check in body["checks"].values())

    def test_is_degraded_before_anyone_polled(self, api: Api) -> None:
        status, body = ready(api.app)
        assert (status, body["status"]) == (200, "degraded")
        assert body["checks"]["telegram"] == {"ok": False, "detail": "nobody has polled yet"}

    def test_is_degraded_while_the_poller_has_a_problem(self, api: Api) -> None:
        note(api.app, "TELEGRAM_BOT_TOKEN is refused (401); check it with @BotFather")
        status, body = ready(api.app)
        assert (status, body["status"]) == (200, "degraded")
        assert "TELEGRAM_BOT_TOKEN" in body["checks"]["telegram"]["detail"]
        note(api.app, None)
        assert ready(api.app)[1]["status"] == "ready"

    def test_is_degraded_when_nobody_polls_any_more(self, api: Api) -> None:
        note(api.app, None)
        with time_machine.travel(clock.now() + timedelta(minutes=5)):
            status, body = ready(api.app)
        assert (status, body["status"]) == (200, "degraded")
        assert "nobody polls" in body["checks"]["telegram"]["detail"]

    def test_bot_that_is_off_is_no_fault(self, deployment: Deployment) -> None:
        with variant(deployment.settings, TELEGRAM_MODE="off") as app:
            assert ready(app)[1]["status"] == "ready"


class TestRedis:
    def test_that_answers_is_fine(self, on_sqlite: Deployment, redis_server: RedisServer) -> None:
        on_sqlite.reset()
        with variant(on_sqlite.settings, REDIS_URL=redis_server.url()) as app:
            assert ready(app)[1]["checks"]["redis"] == {"ok": True, "detail": "answers"}

    def test_that_is_away_is_a_red_detail(self, on_sqlite: Deployment) -> None:
        on_sqlite.reset()
        url = f"redis://:s3cret-password@127.0.0.1:{free_port()}/0"
        with variant(on_sqlite.settings, REDIS_URL=url) as app:
            status, body = ready(app)
        assert (status, body["status"]) == (200, "degraded")
        assert body["checks"]["redis"]["ok"] is False
        assert "s3cret" not in str(body)


class TestNotReady:
    @pytest.fixture(params=["sqlite", "postgresql"])
    def unmigrated(
        self, request: pytest.FixtureRequest, tmp_path: Path, bot: BotApiStandIn
    ) -> Iterator[App]:
        values = base_settings(tmp_path, bot)
        if request.param == "postgresql":
            postgres: PostgresServer = request.getfixturevalue("postgres")
            values["DATABASE_URL"] = postgres.create_database("unmigrated")
        with variant(values) as app:
            yield app
        if request.param == "postgresql":
            postgres.drop_database("unmigrated")

    def test_routes_of_an_unmigrated_database_are_503(self, unmigrated: App) -> None:
        with logged("manga_backend.kit.problems") as lines:
            answer = unmigrated.test_client().get("/api/plans")
        assert answer.status_code == 503
        assert answer.get_json()["code"] == "dependency_away"
        assert len(lines) == 1
        assert "db upgrade" in lines[0]

    @pytest.mark.parametrize("path", READY)
    def test_unmigrated_database_is_503_and_says_what_to_do(
        self, unmigrated: App, path: str
    ) -> None:
        status, body = ready(unmigrated, path)
        assert (status, body["status"]) == (503, "not_ready")
        assert body["checks"]["database"]["ok"] is True
        assert body["checks"]["migrations"]["ok"] is False
        assert "db upgrade" in body["checks"]["migrations"]["detail"]

    def test_database_that_is_away_is_503_without_its_address(self, on_sqlite: Deployment) -> None:
        url = f"postgresql://app:s3cret-password@127.0.0.1:{free_port()}/app"
        with variant(on_sqlite.settings, DATABASE_URL=url) as app:
            status, body = ready(app)
            assert app.test_client().get("/health").status_code == 200
        assert (status, body["status"]) == (503, "not_ready")
        assert body["checks"]["database"]["ok"] is False
        assert "s3cret" not in str(body)
        assert "127.0.0.1" not in str(body)
