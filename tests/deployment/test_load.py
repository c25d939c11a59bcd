"""A broadcast under Telegram's limits: no 429, full speed, and approvals do not wait behind it."""

from __future__ import annotations

import statistics
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests
from sqlalchemy import text

from manga_backend.app import create_app
from manga_backend.kernel.identity.service.accounts import register
from manga_backend.kernel.identity.types import Role
from manga_backend.kernel.notifications.types import Status
from manga_backend.kit.db import db, transaction
from tests.deployment.processes import Process, Web, Worker, eventually
from tests.support import ADMIN_IDS, PASSWORD, new_hash
from tools.services import RedisServer, free_port

Start = Callable[[type[Process], dict[str, str]], Any]
FIRST_CHAT = 2_000_000
LANE_SECONDS = 2.0
LOOK_SECONDS = 2.0
"""How often an admin's page asks how a broadcast fares."""
FULL_SPEED = 29.0
WORKERS = 3

WHILE_IT_RAN = """
SELECT count(*) / extract(epoch FROM max(sent_at) - min(sent_at)) FROM notifications
WHERE channel = 'telegram' AND sent_at <= (
    SELECT max(sent_at) FROM notifications WHERE kind = 'broadcast' AND channel = 'telegram'
) AND sent_at >= (
    SELECT min(sent_at) FROM notifications WHERE kind = 'broadcast' AND channel = 'telegram'
)
"""
"""Messages of all kinds in a second, from the first of the broadcast to its last."""


class Telegram(Process):
    """The Bot API stand-in in a process of its own, with Telegram's limits times a factor."""

    def __init__(self, settings: dict[str, str], log: Path) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        command = [sys.executable, "-m", "tests.standins.telegram", "--port", str(self.port)]
        flags = ["--open-chats", "--limits", settings["FACTOR"], "--keep-calls", "no"]
        super().__init__([*command, *flags, "--keep-last", "100"], settings, log)

    def start(self) -> None:
        super().start()
        eventually(lambda: "stand-in" in self.log.read_text())

    def ask(self, what: str, **query: Any) -> requests.Response:
        """One question to the control API."""
        return requests.get(f"{self.url}/_control/{what}", params=query, timeout=30)

    def counts(self) -> dict[str, Any]:
        """What was sent and refused so far."""
        found: dict[str, Any] = self.ask("counts").json()
        return found


class Approvals(threading.Thread):
    """Readers who pay while the broadcast runs; how long each question took to every admin."""

    def __init__(self, web: Web, telegram: Telegram, readers: list[str], pause: float) -> None:
        super().__init__(daemon=True)
        self._web, self._telegram, self._readers, self._pause = web, telegram, readers, pause
        self.done = threading.Event()
        self.seconds: list[float] = []
        self.lost: list[str] = []

    def run(self) -> None:
        with ThreadPoolExecutor(8) as waiting:
            for token in self._readers * 3:
                if self.done.is_set():
                    return
                tx_hash = new_hash()
                answer = self._web.call("POST", "/payment/submit", token, {"tx_hash": tx_hash})
                assert answer.status_code == 202, answer.text
                for admin in ADMIN_IDS:
                    waiting.submit(self._wait, admin, tx_hash, time.monotonic())
                self.done.wait(self._pause)

    def _wait(self, admin: int, tx_hash: str, since: float) -> None:
        found = self._telegram.ask("wait_for_message", chat_id=admin, contains=tx_hash, timeout=20)
        if found.ok:
            self.seconds.append(time.monotonic() - since)
        else:
            self.lost.append(tx_hash)


def broadcast_to(
    users: int, factor: int, settings: dict[str, str], start: Start, *, readers: int, kill: bool
) -> dict[str, Any]:
    """Run it with two workers, one of which is stopped and started in the middle; the figures."""
    with RedisServer() as redis:
        telegram = start(Telegram, {"FACTOR": str(factor)})
        values = {
            **settings,
            "REDIS_URL": redis.url(),
            "WEB_CONCURRENCY": "1",
            "TELEGRAM_API_URL": telegram.url,
            "TELEGRAM_MAX_PER_SECOND": str(30 * factor),
            "TELEGRAM_MAX_PER_CHAT_PER_SECOND": str(factor),
            "TELEGRAM_MAX_PER_GROUP_PER_MINUTE": str(20 * factor),
        }
        app = create_app(values)
        with app.app_context():
            with transaction():
                register("owner", PASSWORD, None, role=Role.ADMIN)
            with db.engine.begin() as connection:
                connection.execute(
                    text(
                        "INSERT INTO users (public_id, username, username_key, telegram_id, role,"
                        " created_at) SELECT gen_random_uuid(), 'u' || g, 'u' || g, :first + g,"
                        " 'user', now() FROM generate_series(1, :users) g"
                    ),
                    {"first": FIRST_CHAT, "users": users},
                )
        web = start(Web, values)
        workers = [start(Worker, values) for _ in range(WORKERS)]
        tokens = [_sign_up(web, f"payer_{number}") for number in range(readers)]
        owner = _sign_in(web, "owner")
        made = web.call(
            "POST", "/admin/system/broadcasts", owner, {"texts": {"en": "<b>New</b> chapter"}}
        ).json()
        path = f"/admin/system/broadcasts/{made['id']}"
        approvals = Approvals(web, telegram, tokens, pause=1.5)
        assert web.call("POST", f"{path}/start", owner).status_code == 200
        approvals.start()
        eventually(lambda: telegram.counts()["sent"] > users // 3, within=users / factor)
        workers[0].stop()
        workers[0].start()
        if kill:
            workers[1].kill()
            workers[1].start()
        report = eventually(
            lambda: _finished(web, path, owner), within=users / factor + 60, every=LOOK_SECONDS
        )
        approvals.done.set()
        approvals.join(60)
        counts = telegram.counts()
        with app.app_context(), db.engine.connect() as connection:
            rows = connection.execute(
                text(
                    "SELECT status, count(*) FROM notifications WHERE channel = 'telegram'"
                    " AND kind = 'broadcast' GROUP BY status"
                )
            )
            statuses = {row[0]: row[1] for row in rows}
            sustained = connection.scalar(text(WHILE_IT_RAN))
    seconds = sorted(approvals.seconds)
    figures = {
        "sent": counts["sent"],
        "refused_429": counts["refused_429"],
        "per_second": float(sustained),
        "busiest_second": max(counts["per_second"]),
        "approvals": len(seconds),
        "approval_median": statistics.median(seconds),
        "approval_p95": seconds[int(len(seconds) * 0.95)],
        "lost": approvals.lost,
        "statuses": statuses,
        "counts": report["counts"],
    }
    sys.stdout.write(f"\nin each second: {counts['per_second']}")
    sys.stdout.write(f"\n{users} users, limits x {factor}: {figures}\n")
    assert figures["lost"] == []
    assert figures["refused_429"] == 0
    assert statuses == {Status.SENT: users + readers}
    assert report["counts"]["sent"] == users + readers
    assert figures["approval_p95"] < LANE_SECONDS
    return figures


def _finished(web: Web, path: str, token: str) -> dict[str, Any] | None:
    report: dict[str, Any] = web.call("GET", path, token).json()
    return report if report["state"] == "finished" else None


def _sign_up(web: Web, name: str) -> str:
    account = {"username": name, "password": PASSWORD}
    number = 900_000_000 + int(name.rpartition("_")[2])
    answer = web.call("POST", "/auth/register", json={**account, "telegram_id": number})
    assert answer.status_code == 201, answer.text
    return _sign_in(web, name)


def _sign_in(web: Web, name: str) -> str:
    answer = web.call("POST", "/auth/login", json={"username": name, "password": PASSWORD})
    assert answer.status_code == 200, answer.text
    return str(answer.json()["access_token"])


def test_a_broadcast_keeps_the_limits_and_lets_approvals_pass(
    settings: dict[str, str], start: Start
) -> None:
    """A slice: a fault of the pace would show within seconds."""
    figures = broadcast_to(360, 1, settings, start, readers=6, kill=False)
    assert figures["busiest_second"] <= 31


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_3000_users(settings: dict[str, str], start: Start) -> None:
    figures = broadcast_to(3000, 1, settings, start, readers=40, kill=True)
    assert figures["per_second"] >= FULL_SPEED


@pytest.mark.soak
@pytest.mark.timeout(1200)
def test_100_000_users_with_all_limits_times_50(settings: dict[str, str], start: Start) -> None:
    figures = broadcast_to(100_000, 50, settings, start, readers=40, kill=True)
    assert figures["per_second"] >= FULL_SPEED * 50
