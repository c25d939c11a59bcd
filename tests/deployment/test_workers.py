"""Three Gunicorn workers: one poller, one truth about sessions, and no loss when they die."""

from __future__ import annotations

import os
import secrets
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import func, select

from manga_backend.app import create_app
from manga_backend.kernel.approvals.models import Approval
from manga_backend.kernel.memberships.models import SubscriptionChange
from manga_backend.kernel.money.payments.models import Payment
from manga_backend.kernel.notifications.models import Notification
from manga_backend.kernel.notifications.types import Status
from manga_backend.kit.db import db
from tests.deployment.processes import Web, Worker, eventually
from tests.standins.telegram import BotApiStandIn
from tests.support import ADMIN_IDS, PASSWORD, new_hash
from tools.services import RedisServer


def sign_up(web: Web, telegram_id: int) -> str:
    """A new reader's access token."""
    body = {"username": f"u{telegram_id}", "password": PASSWORD}
    made = web.call("POST", "/auth/register", json={**body, "telegram_id": telegram_id})
    assert made.status_code == 201, made.text
    return sign_in(web, telegram_id)


def sign_in(web: Web, telegram_id: int) -> str:
    body = {"username": f"u{telegram_id}", "password": PASSWORD}
    return str(web.call("POST", "/auth/login", json=body).json()["access_token"])


def submit(web: Web, token: str) -> str:
    """Send a new hash; returns it."""
    tx_hash = new_hash()
    answer = web.call("POST", "/payment/submit", token, {"tx_hash": tx_hash})
    assert answer.status_code == 202, answer.text
    return tx_hash


def press(telegram: BotApiStandIn, admin: int, tx_hash: str, button: str) -> str:
    message = telegram.wait_for_message(admin, contains=tx_hash, timeout=15)
    return telegram.press(admin, message.message_id, text_contains=button)


@pytest.fixture(params=["postgresql", "sqlite"])
def values(request: pytest.FixtureRequest) -> dict[str, str]:
    """Both databases, embedded mode."""
    name = "settings" if request.param == "postgresql" else "sqlite_settings"
    found: dict[str, str] = request.getfixturevalue(name)
    return found


class TestPolling:
    def test_one_worker_polls_and_another_takes_over_when_it_is_killed(
        self, values: dict[str, str], telegram: BotApiStandIn, start: Any
    ) -> None:
        web = start(Web, values)
        leader = web.leader()
        assert leader in web.workers()
        eventually(lambda: telegram.poll_waiting)
        token = sign_up(web, 800100)
        first, second = submit(web, token), submit(web, token)
        # What a killed process has in hand waits for its lease (TestKills): nothing is, here.
        telegram.wait_for_message(ADMIN_IDS[0], contains=second, timeout=15)
        press(telegram, ADMIN_IDS[0], first, "✅")
        eventually(lambda: web.call("GET", "/api/user/status", token).json()["purchases_count"])

        os.kill(leader, signal.SIGKILL)
        killed_at = time.monotonic()
        press(telegram, ADMIN_IDS[0], second, "✅")
        successor = web.leader(but=leader)
        assert time.monotonic() - killed_at < 10
        eventually(
            lambda: web.call("GET", "/api/user/status", token).json()["purchases_count"] == 2
        )
        assert successor != leader
        assert telegram.concurrent_polls_seen == 0
        eventually(lambda: telegram.pending_updates() == 0)
        status = web.call("GET", "/api/user/status", token).json()
        assert status["subscription"]["days_remaining"] == 60

    def test_an_outage_of_telegram_leaves_the_site_up_and_is_logged_once(
        self, values: dict[str, str], telegram: BotApiStandIn, start: Any
    ) -> None:
        telegram.go_down()
        web = start(Web, values)
        token = sign_up(web, 800101)
        tx_hash = submit(web, token)
        eventually(lambda: web.logged("Telegram: unreachable"))

        def told() -> str:
            ready = web.call("GET", "/health/ready")
            assert (ready.status_code, ready.json()["status"]) == (200, "degraded")
            return str(ready.json()["checks"]["telegram"]["detail"])

        eventually(lambda: "unreachable" in told())  # noted right after it was logged
        time.sleep(4)
        assert web.call("GET", "/api/user/status", token).status_code == 200
        assert len(web.logged("Telegram: unreachable")) == 1

        telegram.come_back()
        for admin in ADMIN_IDS:
            telegram.wait_for_message(admin, contains=tx_hash, timeout=40)
        eventually(lambda: web.logged("Telegram answers again"), within=40)

    def test_a_wrong_token_is_one_clear_line(
        self, settings: dict[str, str], telegram: BotApiStandIn, start: Any
    ) -> None:
        web = start(Web, {**settings, "TELEGRAM_BOT_TOKEN": "1000:wrong"})
        eventually(lambda: web.logged("TELEGRAM_BOT_TOKEN is refused"))
        time.sleep(2)
        assert len(web.logged("TELEGRAM_BOT_TOKEN is refused")) == 1
        assert "1000:wrong" not in web.log.read_text()
        assert web.call("GET", "/health").status_code == 200


class TestMetrics:
    def test_add_up_all_workers_and_outlive_them(self, values: dict[str, str], start: Any) -> None:
        web = start(Web, values)
        leader = web.leader()

        def counted() -> tuple[float, float]:
            answer = web.call("GET", "/metrics")
            assert answer.status_code == 200, answer.text
            lines = dict(line.rsplit(" ", 1) for line in answer.text.splitlines())
            counts = 'manga_http_request_seconds_count{method="GET",route="%s",status="200"}'
            return float(lines[counts % "/api/plans"]), float(
                lines['manga_leaders{machine="here"}']
            )

        for _ in range(30):
            assert web.call("GET", "/api/plans").status_code == 200
        assert counted() == (30, 1)
        os.kill(leader, signal.SIGKILL)
        web.leader(but=leader)
        assert counted() == (30, 1)


class TestSessions:
    def test_every_worker_refuses_a_replaced_session_at_once(
        self, values: dict[str, str], start: Any
    ) -> None:
        web = start(Web, values)
        first = sign_up(web, 800102)
        for _ in range(6):
            assert web.call("GET", "/api/user/status", first).status_code == 200
        second = sign_in(web, 800102)
        answers = [web.call("GET", "/api/user/status", first) for _ in range(12)]
        assert {a.status_code for a in answers} == {401}
        assert {a.json()["code"] for a in answers} == {"session_replaced"}
        assert web.call("GET", "/api/user/status", second).status_code == 200


class TestRedis:
    def test_payments_are_taken_while_redis_is_down_and_told_after_it_is_back(
        self, settings: dict[str, str], telegram: BotApiStandIn, start: Any
    ) -> None:
        with RedisServer() as redis:
            values = {**settings, "REDIS_URL": redis.url()}
            web, worker = start(Web, values), start(Worker, values)
            token = sign_up(web, 800103)
            before = submit(web, token)
            telegram.wait_for_message(ADMIN_IDS[0], contains=before, timeout=30)

            redis.kill()
            during = submit(web, token)
            other = sign_up(web, 800104)
            late = submit(web, other)
            assert web.checks()["redis"]["ok"] is False

            redis.start()
            for tx_hash in (during, late):
                for admin in ADMIN_IDS:
                    telegram.wait_for_message(admin, contains=tx_hash, timeout=30)
            assert worker.process.poll() is None
            after = submit(web, other)
            telegram.wait_for_message(ADMIN_IDS[0], contains=after, timeout=20)


class TestKills:
    @pytest.mark.timeout(300)
    def test_decisions_survive_kill_9_of_web_and_worker(
        self, settings: dict[str, str], telegram: BotApiStandIn, start: Any
    ) -> None:
        decide_while_killing(settings, telegram, start, readers=10, kills=2)

    @pytest.mark.soak
    @pytest.mark.timeout(900)
    def test_decisions_survive_many_kills(
        self, settings: dict[str, str], telegram: BotApiStandIn, start: Any
    ) -> None:
        decide_while_killing(settings, telegram, start, readers=120, kills=15)


def decide_while_killing(
    settings: dict[str, str], telegram: BotApiStandIn, start: Any, *, readers: int, kills: int
) -> None:
    """Every payment is decided exactly once and everyone is told, whoever dies meanwhile."""
    with RedisServer() as redis:
        values = {**settings, "REDIS_URL": redis.url()}
        web, worker = start(Web, values), start(Worker, values)
        tokens = {800200 + n: sign_up(web, 800200 + n) for n in range(readers)}
        hashes = {reader: submit(web, token) for reader, token in tokens.items()}
        for tx_hash in hashes.values():
            for admin in ADMIN_IDS:
                telegram.wait_for_message(admin, contains=tx_hash, timeout=30)

        def decide(item: tuple[int, str]) -> None:
            number, tx_hash = item
            press(telegram, ADMIN_IDS[number % 2], tx_hash, "✅")
            press(telegram, ADMIN_IDS[(number + 1) % 2], tx_hash, "❌")

        killed = None
        with ThreadPoolExecutor(4) as pool:
            pressed = pool.map(decide, hashes.items())
            for _ in range(kills):
                if worker.process.poll() is not None:
                    worker.start()
                time.sleep(1 + secrets.randbelow(1000) / 1000)
                killed = web.leader(but=killed)
                os.kill(killed, signal.SIGKILL)
                worker.kill()
            list(pressed)
        web.kill_all()
        web.start()
        worker.start()

        app = create_app(values)
        with app.app_context():
            eventually(lambda: _undecided() == 0, within=40)
            eventually(lambda: _untold() == 0, within=60)
            approved = _count(Payment, Payment.status == "approved")
            assert approved + _count(Payment, Payment.status == "rejected") == len(hashes)
            assert _count(SubscriptionChange) == approved
            assert _count(Notification, Notification.status == Status.DEAD) == 0
        for reader, tx_hash in hashes.items():
            assert telegram.messages(reader), "the reader was told"
            for admin in ADMIN_IDS:
                seen = [m for m in telegram.messages(admin) if tx_hash in m.html]
                decided = [m for m in seen if "telegram:" in m.html]
                assert decided, "the admin's message shows the decision"


def _count(model: Any, *conditions: Any) -> int:
    found = db.session.scalar(select(func.count()).select_from(model).where(*conditions))
    db.session.rollback()
    return int(found or 0)


def _undecided() -> int:
    return _count(Approval, Approval.state == "pending")


def _untold() -> int:
    return _count(Notification, Notification.status.in_((Status.NEW, Status.FAILED)))
