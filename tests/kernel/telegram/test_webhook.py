"""Updates that Telegram brings, and the leader's watch over the webhook."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import update
from werkzeug.test import TestResponse

from manga_backend.kernel.approvals.types import State
from manga_backend.kernel.notifications.models import Notification
from manga_backend.kernel.telegram import runner
from manga_backend.kernel.telegram.clients import ALLOWED_UPDATES, BotClient
from manga_backend.kernel.telegram.events import PollerReturned
from manga_backend.kernel.telegram.models import TelegramPoller, TelegramUpdate
from manga_backend.kernel.telegram.routes import SECRET_HEADER
from manga_backend.kernel.telegram.runner import WebhookWatch
from manga_backend.kernel.telegram.service import updates
from manga_backend.kernel.telegram.settings import WEBHOOK_PATH, TelegramSettings
from manga_backend.kit import clock
from manga_backend.kit.app import App
from manga_backend.kit.events import listen
from manga_backend.kit.leader import Stop
from tests.conftest import Deployment
from tests.kernel.factories import approval_of, at_work, count, make_user, new_chat, rows, submit
from tests.kernel.identity.conftest import is_refused
from tests.kernel.telegram.conftest import eventually, readiness, served, talking
from tests.standins.telegram import BotApiStandIn
from tests.support import ADMIN_IDS, at_once
from tests.variants import logged, variant

_ids = itertools.count(5000)
OURS = "http://127.0.0.1:1/telegram/webhook"


def config_of(app: App) -> TelegramSettings:
    found: TelegramSettings = app.extensions["settings"][TelegramSettings]
    return found


def bring(app: App, payload: Any, secret: str | None = None) -> TestResponse:
    """What Telegram does in webhook mode."""
    given = config_of(app).webhook_secret if secret is None else secret
    answer: TestResponse = app.test_client().post(
        WEBHOOK_PATH, json=payload, headers={SECRET_HEADER: given} if given else {}
    )
    return answer


def command(chat: int, text: str = "/help") -> dict[str, Any]:
    person = {"id": chat, "is_bot": False, "first_name": "x", "language_code": "en"}
    message = {"message_id": 1, "from": person, "chat": {"id": chat, "type": "private"}}
    return {"update_id": next(_ids), "message": {**message, "text": text}}


def press(chat: int, data: str) -> dict[str, Any]:
    person = {"id": chat, "is_bot": False, "first_name": "x", "language_code": "en"}
    return {"update_id": next(_ids), "callback_query": {"id": "77", "from": person, "data": data}}


def replied(app: App) -> list[int | None]:
    return [row.chat_id for row in rows(app, Notification, Notification.kind == "reply")]


class TestReceive:
    def test_handles_what_is_brought(self, app: App) -> None:
        chat = new_chat()
        answer = bring(app, command(chat))
        assert (answer.status_code, answer.get_json()) == (200, {})
        assert replied(app) == [chat]

    def test_a_press_is_answered_by_the_answer_itself(self, app: App) -> None:
        payment = submit(app, make_user(app))
        data = f"approve:{approval_of(app, payment).id.hex}"
        answer = bring(app, press(ADMIN_IDS[0], data))
        assert answer.get_json() == {
            "method": "answerCallbackQuery",
            "callback_query_id": "77",
            "text": "Approved.",
        }
        assert approval_of(app, payment).state is State.APPROVED

    def test_brought_twice_it_is_handled_once(self, app: App) -> None:
        chat = new_chat()
        payload = command(chat)
        assert [bring(app, payload).status_code for _ in range(2)] == [200, 200]
        assert replied(app) == [chat]

    def test_brought_eight_times_at_once_it_is_handled_once(self, pg_app: App) -> None:
        chat = new_chat()
        payload = command(chat)
        found = at_once(8, lambda _: bring(pg_app, payload).status_code)
        assert found == [200] * 8
        assert replied(pg_app) == [chat]

    @pytest.mark.parametrize("secret", ["", "wrong", "ü"])
    def test_only_telegram_may_bring(self, app: App, secret: str) -> None:
        assert is_refused(bring(app, command(new_chat()), secret), 403, "webhook_secret_wrong")
        assert count(app, TelegramUpdate) == 0

    @pytest.mark.parametrize(
        "payload",
        [{}, {"update_id": "7"}, {"update_id": True}, {"update_id": -1}, {"update_id": 2**63}],
        ids=str,
    )
    def test_what_is_no_update_is_refused(self, app: App, payload: Any) -> None:
        assert is_refused(bring(app, payload), 400, "invalid_input")
        assert count(app, TelegramUpdate) == 0

    @pytest.mark.parametrize("payload", [[], "x", 7], ids=str)
    def test_nor_is_what_is_no_object(self, app: App, payload: Any) -> None:
        assert bring(app, payload).status_code == 400

    def test_a_fault_keeps_the_update_for_the_leader(
        self, app: App, telegram: BotApiStandIn
    ) -> None:
        faults = iter([ZeroDivisionError(), None])

        def fail_once(_press: object) -> str:
            fault = next(faults)
            if fault is not None:
                raise fault
            return "done"

        updates.presses.register(app, "fail", fail_once)
        try:
            payload = press(new_chat(), "fail:1")
            answer = bring(app, payload)
            assert (answer.status_code, answer.get_json()) == (200, {})
            watch_of(app, telegram)._handle_waiting()
        finally:
            del app.extensions[updates.presses._slot]["fail"]
        with at_work(app) as current:
            row = current.get_one(TelegramUpdate, payload["update_id"])
            assert (row.attempts, row.handled_at is None) == (1, False)

    def test_switched_off_there_is_nothing(self, deployment: Deployment) -> None:
        with variant(deployment.settings, TELEGRAM_MODE="off") as app:
            assert is_refused(bring(app, command(new_chat())), 404, "webhook_off")


def watch_of(app: App, telegram: BotApiStandIn, url: str = OURS, **changes: Any) -> WebhookWatch:
    config = replace(
        config_of(app), api_url=telegram.url, token=telegram.token, webhook_url=url, **changes
    )
    return WebhookWatch(app, BotClient(config), Stop(), config)


def client_of(app: App, telegram: BotApiStandIn) -> BotClient:
    return BotClient(replace(config_of(app), api_url=telegram.url, token=telegram.token))


@pytest.fixture
def hooked(deployment: Deployment, telegram: BotApiStandIn) -> Iterator[App]:
    """An app in webhook mode."""
    with talking(deployment, telegram, TELEGRAM_MODE="webhook") as app:
        yield app


class TestWatch:
    def test_sets_the_webhook_with_its_secret(self, hooked: App, telegram: BotApiStandIn) -> None:
        watch_of(hooked, telegram)._start()
        params = telegram.calls("setWebhook")[-1].params
        assert params["url"] == OURS
        assert params["secret_token"] == config_of(hooked).webhook_secret
        assert str(params["max_connections"]) == "1"
        assert all(kind in str(params["allowed_updates"]) for kind in ALLOWED_UPDATES)

    def test_puts_ours_back_and_says_so(self, hooked: App, telegram: BotApiStandIn) -> None:
        watch = watch_of(hooked, telegram)
        watch._start()
        client_of(hooked, telegram).set_webhook("http://127.0.0.1:2/other", "x", 1)
        with logged() as lines:
            watch.look()
            watch.look()
        assert client_of(hooked, telegram).get_webhook()["url"] == OURS
        assert len([line for line in lines if "/other" in line]) == 1
        assert readiness(hooked) == {
            "ok": True,
            "detail": "@two_manga_bot is brought updates by the webhook",
        }

    def test_without_an_address_it_only_watches(self, hooked: App, telegram: BotApiStandIn) -> None:
        watch = watch_of(hooked, telegram, url="")
        watch._start()
        watch.look()
        assert "TELEGRAM_WEBHOOK_URL" in readiness(hooked)["detail"]
        client_of(hooked, telegram).set_webhook("http://127.0.0.1:2/other", "x", 1)
        watch.look()
        assert readiness(hooked)["ok"]
        assert client_of(hooked, telegram).get_webhook()["url"] == "http://127.0.0.1:2/other"

    def test_a_fault_in_bringing_is_red_until_an_update_comes(
        self, hooked: App, telegram: BotApiStandIn
    ) -> None:
        watch = watch_of(hooked, telegram)
        watch._start()
        telegram.send_text(new_chat(), "/help")  # nobody listens on port 1
        eventually(lambda: bool(client_of(hooked, telegram).get_webhook().get("last_error_date")))
        watch.look()
        assert "Connection refused" in readiness(hooked)["detail"]
        with at_work(hooked):
            updates.store_update(command(new_chat()))
        with at_work(hooked) as current:
            later = clock.now() + timedelta(hours=1)
            current.execute(update(TelegramUpdate).values(received_at=later))
        watch.look()
        assert readiness(hooked)["ok"]

    def test_an_old_fault_is_none_of_ours(self, hooked: App, telegram: BotApiStandIn) -> None:
        client_of(hooked, telegram).set_webhook(OURS, "x", 1)
        telegram.send_text(new_chat(), "/help")
        eventually(lambda: bool(client_of(hooked, telegram).get_webhook().get("last_error_date")))
        watch = watch_of(hooked, telegram)
        watch._since = clock.now() + timedelta(hours=1)
        watch.look()
        assert readiness(hooked)["ok"]

    def test_a_long_absence_is_told_when_it_is_over(
        self, hooked: App, telegram: BotApiStandIn
    ) -> None:
        heard: list[PollerReturned] = []
        listen(hooked, PollerReturned, heard.append)
        watch = watch_of(hooked, telegram)
        watch._start()
        with at_work(hooked) as current:
            then = clock.now() - timedelta(minutes=5)
            current.get_one(TelegramPoller, 1).polled_at = then
        watch.look()
        watch.look()
        assert [event.away_seconds // 10 for event in heard] == [30]

    def test_nobody_watches(self, hooked: App) -> None:
        assert readiness(hooked) == {"ok": False, "detail": "not looked at yet"}
        with at_work(hooked) as current:
            then = clock.now() - timedelta(minutes=5)
            current.add(TelegramPoller(id=1, polled_at=then))
        assert "no process leads" in readiness(hooked)["detail"]


@contextmanager
def led(app: App) -> Iterator[None]:
    """The leader's duty, until the end of the block."""
    stop = Stop()
    duty = threading.Thread(target=runner.poll, args=(app, stop), daemon=True)
    duty.start()
    try:
        yield
    finally:
        stop.set()
        duty.join(30)
        assert not duty.is_alive()


@pytest.fixture
def brisk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses as short as a test."""
    monkeypatch.setattr(runner, "LONGEST_PAUSE_SECONDS", 0.1)
    monkeypatch.setattr(runner, "LONG_POLL_SECONDS", 1)
    monkeypatch.setattr(runner, "LOOK_SECONDS", 0.2)
    monkeypatch.setattr(runner, "RETRY_SECONDS", 0.2)


class TestModes:
    def test_change_from_polling_to_webhook_and_back_without_a_loss(
        self, on_postgres: Deployment, telegram: BotApiStandIn, brisk: None
    ) -> None:
        on_postgres.reset()
        chats = [new_chat() for _ in range(5)]
        telegram.add_person(chats[2], language_code="en")
        with talking(on_postgres, telegram) as polling, led(polling):
            telegram.send_text(chats[0], "/help")
            eventually(lambda: replied(polling) == chats[:1])
        telegram.send_text(chats[1], "/help")  # while nobody is there
        with talking(on_postgres, telegram) as bare, served(bare) as address:
            pass
        with (
            talking(
                on_postgres, telegram, TELEGRAM_MODE="webhook", TELEGRAM_WEBHOOK_URL=address
            ) as hooked,
            served(hooked, int(address.rpartition(":")[2])),
            led(hooked),
        ):
            eventually(lambda: replied(hooked) == chats[:2])
            telegram.send_text(chats[2], "/help")
            eventually(lambda: replied(hooked) == chats[:3])
            message = telegram.messages(chats[2])[0].message_id
            callback = telegram.press_raw(chats[2], message, "nothing:1")
            shown = telegram.wait_for_callback_answer(callback, timeout=30)
            assert shown == "This button does nothing any more."
            eventually(lambda: bool(readiness(hooked)["ok"]))
        telegram.send_text(chats[3], "/help")
        with logged() as lines, talking(on_postgres, telegram) as polling, led(polling):
            eventually(lambda: replied(polling) == chats[:4])
            telegram.send_text(chats[4], "/help")
            eventually(lambda: replied(polling) == chats[:5])
        assert len([line for line in lines if "was removed" in line]) == 1
        assert client_of(on_postgres.app, telegram).get_webhook()["url"] == ""

    def test_off_does_nothing(self, on_sqlite: Deployment, telegram: BotApiStandIn) -> None:
        with talking(on_sqlite, telegram, TELEGRAM_MODE="off") as app, led(app):
            pass
        assert telegram.calls() == []

    def test_a_fault_of_telegram_does_not_end_the_watch(
        self, on_postgres: Deployment, telegram: BotApiStandIn, brisk: None
    ) -> None:
        on_postgres.reset()
        with (
            talking(
                on_postgres,
                telegram,
                TELEGRAM_MODE="webhook",
                TELEGRAM_WEBHOOK_URL="http://127.0.0.1:1",
            ) as app,
        ):
            telegram.fail_next("getMe", 2, status=500)
            with led(app):
                eventually(lambda: bool(readiness(app)["ok"]))
