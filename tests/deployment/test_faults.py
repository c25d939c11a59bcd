"""Minutes of mixed traffic while everything is killed in turn: nothing lost, nothing done twice."""

from __future__ import annotations

import os
import random
import secrets
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import requests
from sqlalchemy import func, select

from manga_backend.app import create_app
from manga_backend.kernel.approvals.models import Approval
from manga_backend.kernel.memberships.models import SubscriptionChange
from manga_backend.kernel.money.payments.models import Payment
from manga_backend.kernel.notifications.models import Notification
from manga_backend.kernel.notifications.types import Channel, Status
from manga_backend.kernel.telegram.models import TelegramUpdate
from manga_backend.kit.app import App
from manga_backend.kit.db import db
from tests.conftest import migrate
from tests.deployment.processes import Process, Web, Worker, eventually
from tests.standins.telegram import BotApiStandIn
from tests.support import ADMIN_IDS, PASSWORD, base_settings, new_hash
from tools.services import PostgresServer, RedisServer

IN_FLIGHT = 4
ALARM = ("🚨", "🔔")
"""Faults are told directly, so that they are heard when the outbox itself is broken."""
READERS = 40
FIRST_READER = 810_000


@dataclass
class Traffic:
    """Readers who pay and admins who press, until told to stop; refusals by faults are retried."""

    web: Web
    telegram: BotApiStandIn
    stop: threading.Event = field(default_factory=threading.Event)
    accepted: Counter[str] = field(default_factory=Counter)
    unexpected: list[str] = field(default_factory=list)

    def call(self, path: str, json: Any, token: str | None = None) -> requests.Response | None:
        """One POST; None when nobody answered."""
        try:
            answer = self.web.call("POST", path, token, json)
        except requests.RequestException:
            return None
        if answer.status_code >= 500 and answer.status_code != 503:
            self.unexpected.append(f"{path}: {answer.status_code} {answer.text[:300]}")
        return answer

    def patiently(self, path: str, json: Any, *fine: int) -> requests.Response:
        """Ask until the answer is one of these."""
        while True:
            answer = self.call(path, json)
            if answer is not None and answer.status_code in fine:
                return answer
            time.sleep(0.5)

    def read(self, number: int) -> None:
        """A reader registers, and pays again and again."""
        name = f"reader_{number}"
        account = {"username": name, "password": PASSWORD}
        self.patiently("/auth/register", {**account, "telegram_id": number}, 201, 409)
        token = self.patiently("/auth/login", account, 200).json()["access_token"]
        while not self.stop.is_set():
            tx_hash = new_hash()
            answer = self.call("/payment/submit", {"tx_hash": tx_hash}, token)
            if answer is not None and answer.status_code == 202:
                self.accepted[tx_hash] += 1
            self.stop.wait(2 + random.random() * 6)

    def decide(self, admin: int) -> None:
        """An admin presses one of the buttons of every message, some of them twice."""
        pressed: set[int] = set()
        while not self.stop.is_set():
            for message in self.telegram.messages(admin):
                if message.message_id in pressed or not message.reply_markup:
                    continue
                pressed.add(message.message_id)
                button = random.choice(["✅", "✅", "❌"])
                for _ in range(random.choice([1, 1, 2])):
                    try:
                        self.telegram.press(admin, message.message_id, text_contains=button)
                    except (AssertionError, ValueError, KeyError):
                        break  # decided meanwhile by the other admin
            self.stop.wait(1)


@dataclass
class Trouble:
    """What goes wrong, and how many messages each kill may have caught in flight."""

    web: Web
    worker: Worker
    postgres: PostgresServer
    redis: RedisServer
    telegram: BotApiStandIn
    kills: int = 0
    done: Counter[str] = field(default_factory=Counter)

    def kill_worker(self) -> None:
        self.worker.kill()
        self.kills += 1
        time.sleep(random.random() * 3)
        self.worker.start()

    def kill_leader(self) -> None:
        workers = self.web.workers()
        if workers:
            os.kill(random.choice(workers), signal.SIGKILL)

    def kill_web(self) -> None:
        self.web.kill_all()
        time.sleep(random.random() * 2)
        self.web.start()

    def restart_redis(self) -> None:
        self.redis.kill()
        time.sleep(random.random() * 4)
        self.redis.start()

    def restart_postgres(self) -> None:
        self.postgres.kill()
        time.sleep(random.random() * 4)
        self.postgres.start()

    def upset_telegram(self) -> None:
        kind: dict[str, Any] = random.choice(
            [
                {"status": 429, "retry_after": 1, "count": 6},
                {"status": 500, "count": 8},
                {"status": 502, "garbage": True, "count": 8},
                {"status": 504, "delay": 2.0, "count": 4},
                {"status": 500, "drop_connection": True, "count": 8},
            ]
        )
        self.telegram.fail_next(random.choice(["sendMessage", "*"]), **kind)
        time.sleep(1)

    def silence_telegram(self) -> None:
        self.telegram.go_down()
        time.sleep(1 + random.random() * 4)
        self.telegram.come_back()

    def go_on(self, seconds: float) -> None:
        """One thing after another, with a breath between."""
        kinds: list[Callable[[], None]] = [
            self.kill_worker,
            self.kill_leader,
            self.kill_web,
            self.restart_redis,
            self.restart_postgres,
            self.upset_telegram,
            self.silence_telegram,
        ]
        until = time.monotonic() + seconds
        deck: list[Callable[[], None]] = []
        while time.monotonic() < until:
            if not deck:
                deck = random.sample(kinds, len(kinds))
            act = deck.pop()
            self.done[act.__name__] += 1
            act()
            time.sleep(1 + random.random() * 4)
        self.telegram.clear_faults()


@pytest.mark.soak
@pytest.mark.timeout(1200)
def test_five_minutes_of_faults(
    tmp_path: Path, telegram: BotApiStandIn, start: Callable[[type[Process], dict[str, str]], Any]
) -> None:
    live_through(tmp_path, telegram, start, seconds=300)


@pytest.mark.timeout(300)
def test_some_seconds_of_faults(
    tmp_path: Path, telegram: BotApiStandIn, start: Callable[[type[Process], dict[str, str]], Any]
) -> None:
    live_through(tmp_path, telegram, start, seconds=12)


def live_through(
    tmp_path: Path,
    telegram: BotApiStandIn,
    start: Callable[[type[Process], dict[str, str]], Any],
    *,
    seconds: float,
) -> None:
    seed = secrets.randbelow(10**9)
    random.seed(seed)
    tell(f"seed {seed}")
    with PostgresServer(durable=True) as postgres, RedisServer(appendonly=True) as redis:
        values = {
            **base_settings(tmp_path, telegram),
            "DATABASE_URL": postgres.url(),
            "REDIS_URL": redis.url(),
            "WEB_CONCURRENCY": "2",
            "LOG_LEVEL": "info",
        }
        app = create_app(values)
        migrate(app)
        web, worker = start(Web, values), start(Worker, values)
        traffic = Traffic(web, telegram)
        trouble = Trouble(web, worker, postgres, redis, telegram)
        with ThreadPoolExecutor(READERS + len(ADMIN_IDS)) as people:
            busy = [people.submit(traffic.read, FIRST_READER + n) for n in range(READERS)]
            busy += [people.submit(traffic.decide, admin) for admin in ADMIN_IDS]
            trouble.go_on(seconds)
            time.sleep(2)
            traffic.stop.set()
            for each in busy:
                each.result()
        check(app, traffic, trouble)


def check(app: App, traffic: Traffic, trouble: Trouble) -> None:
    """Everything is back by itself; then the database and what Telegram saw must tell the same."""
    web, telegram = trouble.web, traffic.telegram
    ready = eventually(lambda: _is_ready(web), within=60)
    assert ready
    with app.app_context():
        db.engine.dispose()  # the connections that migrated, of before the restarts
        eventually(lambda: _is_quiet(telegram), within=120)
        seen_before = _seen(telegram)  # before the rows: what is seen must have been written
        rows = db.session.execute(
            select(
                Notification.chat_id, Notification.text, Notification.edits_id, Notification.status
            ).where(Notification.channel == Channel.TELEGRAM, Notification.kind != "alarm")
        ).all()
        db.session.rollback()
        statuses = Counter(row.status for row in rows)
        assert set(statuses) <= {Status.SENT, Status.CANCELLED}, statuses

        # No approval is decided twice, and each approval gave its days once.
        payments = Counter(db.session.scalars(select(Payment.status)).all())
        changes = Counter(db.session.scalars(select(SubscriptionChange.source_id)).all())
        decided = _count(Approval, Approval.state != "pending")
        approved = payments["approved"]
        assert set(changes.values()) <= {1}
        assert len(changes) == approved
        assert decided == approved + payments["rejected"]
        kept = set(db.session.scalars(select(Payment.tx_hash)).all())
        db.session.rollback()
        assert set(traffic.accepted) <= kept, "a payment that was answered with 202 is gone"

    written = Counter((row.chat_id, row.text) for row in rows if row.edits_id is None)
    seen = _seen(telegram)
    assert not written - seen, f"never told: {written - seen}"
    unwritten = set(seen_before) - set(written)
    assert not unwritten, f"told, although its transaction was rolled back: {unwritten}"
    duplicates = sum((seen - written).values())
    tell(
        f"{dict(trouble.done)}; {len(traffic.accepted)} payments, {decided} decided, "
        f"{sum(written.values())} messages, {duplicates} told twice"
    )
    assert duplicates <= IN_FLIGHT * trouble.kills
    assert traffic.unexpected == []


def _seen(telegram: BotApiStandIn) -> Counter[tuple[int, str]]:
    """Chat and text of all messages that Telegram took."""
    return Counter(
        (int(call.params["chat_id"]), call.params["text"])
        for call in telegram.calls("sendMessage")
        if call.status == 200 and not call.params["text"].startswith(ALARM)
    )


def _is_quiet(telegram: BotApiStandIn) -> bool:
    """Nothing waits on either side."""
    return (
        telegram.pending_updates() == 0
        and _count(TelegramUpdate, TelegramUpdate.handled_at.is_(None)) == 0
        and _count(Notification, Notification.status.in_(_WAITING)) == 0
    )


def tell(figures: str) -> None:
    """Seen with `-s`, and with a failure."""
    sys.stdout.write(f"\n{figures}\n")


_WAITING = (Status.NEW, Status.FAILED)


def _is_ready(web: Web) -> bool:
    try:
        answer = web.call("GET", "/health/ready")
    except requests.RequestException:
        return False
    return answer.status_code == 200 and answer.json()["status"] == "ready"


def _count(model: Any, *conditions: Any) -> int:
    found = db.session.scalar(select(func.count()).select_from(model).where(*conditions))
    db.session.rollback()
    return int(found or 0)
