"""The getUpdates loop against a Telegram of its own, in good days and bad."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import event, update
from sqlalchemy.exc import OperationalError

from manga_backend.kernel.approvals.types import State
from manga_backend.kernel.notifications.models import Notification
from manga_backend.kernel.telegram import runner
from manga_backend.kernel.telegram.clients import BotClient
from manga_backend.kernel.telegram.errors import TelegramConflict
from manga_backend.kernel.telegram.events import PollerReturned
from manga_backend.kernel.telegram.models import TelegramPoller, TelegramUpdate
from manga_backend.kernel.telegram.runner import Poller
from manga_backend.kernel.telegram.service import updates
from manga_backend.kernel.telegram.service.poller import POLLED_LATELY
from manga_backend.kernel.telegram.settings import TelegramSettings
from manga_backend.kit import clock
from manga_backend.kit.app import App
from manga_backend.kit.db import db
from manga_backend.kit.events import listen
from manga_backend.kit.leader import Stop
from tests.kernel.factories import approval_of, at_work, make_user, new_chat, rows, submit
from tests.kernel.telegram.conftest import eventually, readiness
from tests.standins.telegram import BotApiStandIn
from tests.support import ADMIN_IDS, Api


def client_of(app: App, telegram: BotApiStandIn, token: str | None = None) -> BotClient:
    config: TelegramSettings = app.extensions["settings"][TelegramSettings]
    return BotClient(replace(config, api_url=telegram.url, token=token or telegram.token))


@pytest.fixture
def poller(app: App, telegram: BotApiStandIn) -> Poller:
    return Poller(app, client_of(app, telegram), Stop())


def replied(app: App) -> list[int | None]:
    return [row.chat_id for row in rows(app, Notification, Notification.kind == "reply")]


def errors(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.levelno >= logging.ERROR]


class TestTurn:
    def test_handles_what_people_wrote_in_their_order(
        self, app: App, telegram: BotApiStandIn, poller: Poller
    ) -> None:
        chats = [new_chat() for _ in range(5)]
        for chat in chats:
            telegram.send_text(chat, "/help")
        poller.turn(0)
        assert replied(app) == chats

    def test_an_update_fetched_twice_is_handled_once(
        self, app: App, telegram: BotApiStandIn, poller: Poller
    ) -> None:
        chat = new_chat()
        telegram.send_text(chat, "/help")
        poller.turn(0)
        with at_work(app) as current:  # the offset is lost, the update is not confirmed
            current.execute(update(TelegramPoller).values(next_offset=None))
        telegram.send_text(chat, "/start")
        time.sleep(0.55)  # else the stand-in gives one update at a time, as Telegram does
        poller.turn(0)
        assert [record.deliveries for record in telegram.update_log()] == [2, 1]
        assert replied(app) == [chat, chat]

    def test_the_next_fetch_confirms_what_was_stored(
        self, telegram: BotApiStandIn, poller: Poller
    ) -> None:
        telegram.send_text(new_chat(), "/help")
        poller.turn(0)
        telegram.send_text(new_chat(), "/help")
        poller.turn(0)
        assert [r.outcome for r in telegram.update_log()] == ["confirmed", "pending"]

    def test_after_days_of_silence_it_asks_without_an_offset(
        self, app: App, telegram: BotApiStandIn, poller: Poller
    ) -> None:
        """Telegram may then count from a lower number, which an offset would confirm unread."""
        telegram.send_text(new_chat(), "/help")
        poller.turn(0)
        poller.turn(0)
        assert telegram.calls("getUpdates")[-1].params["offset"]
        with at_work(app) as current:
            current.execute(
                update(TelegramUpdate).values(handled_at=clock.now() - timedelta(days=6, hours=1))
            )
        poller.turn(0)
        assert "offset" not in telegram.calls("getUpdates")[-1].params

    def test_names_the_kinds_of_updates_that_it_wants(
        self, telegram: BotApiStandIn, poller: Poller
    ) -> None:
        telegram.send_text(new_chat(), "/help")
        poller.turn(0)
        assert "callback_query" in str(telegram.calls("getUpdates")[0].params)

    def test_what_a_killed_predecessor_stored_is_handled(
        self, app: App, telegram: BotApiStandIn, poller: Poller
    ) -> None:
        chat = new_chat()
        telegram.send_text(chat, "/help")
        with at_work(app):
            updates.store_updates(client_of(app, telegram).get_updates(None, 0))
        telegram.send_text(chat, "/help")
        poller.turn(0)
        assert replied(app) == [chat, chat]

    def test_a_lost_leader_leaves_updates_to_the_next(
        self, app: App, telegram: BotApiStandIn
    ) -> None:
        stop = Stop()
        stop.set()
        telegram.send_text(new_chat(), "/help")
        Poller(app, client_of(app, telegram), stop).turn(0)
        with at_work(app) as current:
            assert current.query(TelegramUpdate).count() == 0
        assert telegram.pending_updates() == 1

    def test_a_bad_update_does_not_keep_the_next_ones(
        self, app: App, telegram: BotApiStandIn, poller: Poller
    ) -> None:
        def fail(_press: object) -> str:
            raise ZeroDivisionError

        updates.presses.register(app, "fail", fail)
        try:
            chat = new_chat()
            telegram.send_text(chat, "hello")
            telegram.press_raw(chat, telegram.messages(chat)[0].message_id, "fail:1")
            telegram.send_text(chat, "/help")
            poller.turn(0)
        finally:
            del app.extensions[updates.presses._slot]["fail"]
        assert replied(app) == [chat]


class TestPresses:
    def pressed(self, app: App, telegram: BotApiStandIn) -> tuple[Any, str]:
        payment = submit(app, make_user(app))
        telegram.send_text(ADMIN_IDS[0], "hello")
        message = telegram.messages(ADMIN_IDS[0])[0].message_id
        data = f"approve:{approval_of(app, payment).id.hex}"
        return payment, telegram.press_raw(ADMIN_IDS[0], message, data)

    def test_are_answered(self, app: App, telegram: BotApiStandIn, poller: Poller) -> None:
        _, callback = self.pressed(app, telegram)
        poller.turn(0)
        assert telegram.wait_for_callback_answer(callback, timeout=30) == "Approved."

    @pytest.mark.parametrize(
        "trouble",
        [
            {"status": 400, "description": "query is too old and response timeout expired"},
            {"status": 500},
            {"status": 429, "retry_after": 3},
            {"status": 500, "drop_connection": True},
        ],
        ids=str,
    )
    def test_count_even_when_the_answer_comes_too_late(
        self, app: App, telegram: BotApiStandIn, poller: Poller, trouble: dict[str, Any]
    ) -> None:
        payment, _ = self.pressed(app, telegram)
        telegram.fail_next("answerCallbackQuery", **trouble)
        chat = new_chat()
        telegram.send_text(chat, "/help")
        poller.turn(0)
        assert approval_of(app, payment).state is State.APPROVED
        assert replied(app) == [chat]


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses as short as a test."""
    monkeypatch.setattr(runner, "LONGEST_PAUSE_SECONDS", 0.1)
    monkeypatch.setattr(runner, "WRONG_TOKEN_PAUSE_SECONDS", 0.1)
    monkeypatch.setattr(runner, "LONG_POLL_SECONDS", 1)
    monkeypatch.setattr(runner, "NOTE_SECONDS", 0.05)


@pytest.fixture
def looping(
    pg_app: App, telegram: BotApiStandIn, impatient: None
) -> Iterator[Callable[..., threading.Thread]]:
    """Starts the loop on a leader's behalf, and stops it."""
    stop = Stop()
    threads: list[threading.Thread] = []

    def start(token: str | None = None) -> threading.Thread:
        loop = Poller(pg_app, client_of(pg_app, telegram, token), stop)
        threads.append(threading.Thread(target=loop.run, daemon=True))
        threads[-1].start()
        return threads[-1]

    yield start
    stop.set()
    telegram.go_down()  # ends the long poll
    for thread in threads:
        thread.join(8)
        assert not thread.is_alive()


class TestTrouble:
    """Each is logged once, shown by readiness, survived, and over when it is over."""

    @pytest.mark.parametrize(
        ("trouble", "words"),
        [
            ({"status": 401}, "TELEGRAM_BOT_TOKEN is refused"),
            ({"status": 409, "description": "terminated by other getUpdates"}, "another program"),
            ({"status": 500}, "unreachable"),
            ({"status": 502, "garbage": True}, "unreachable"),
            ({"status": 200, "garbage": True}, "unreachable"),
            ({"status": 500, "drop_connection": True}, "unreachable"),
        ],
        ids=str,
    )
    def test_is_said_once_and_passes(
        self,
        pg_app: App,
        telegram: BotApiStandIn,
        looping: Callable[..., threading.Thread],
        caplog: pytest.LogCaptureFixture,
        trouble: dict[str, Any],
        words: str,
    ) -> None:
        telegram.fail_next("getUpdates", 10**6, **trouble)  # until it was seen
        thread = looping()
        eventually(lambda: words in readiness(pg_app)["detail"])
        telegram.clear_faults()
        eventually(lambda: readiness(pg_app)["ok"])
        assert thread.is_alive()
        assert [words in line for line in errors(caplog)] == [True]
        assert "stand-in" not in "".join(errors(caplog))  # the token
        chat = new_chat()
        telegram.send_text(chat, "/help")
        eventually(lambda: replied(pg_app) == [chat])

    def test_429_waits_as_long_as_asked(
        self,
        pg_app: App,
        telegram: BotApiStandIn,
        looping: Callable[..., threading.Thread],
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        telegram.fail_next("getUpdates", status=429, retry_after=1)
        looping()
        eventually(lambda: len(telegram.calls("getUpdates")) >= 2)
        first, second = telegram.calls("getUpdates")[:2]
        assert second.at - first.at >= 0.99
        assert ["429" in line for line in errors(caplog)] == [True]
        eventually(lambda: bool(readiness(pg_app)["ok"]))

    def test_an_outage_keeps_nobody_from_the_site(
        self,
        pg_api: Api,
        telegram: BotApiStandIn,
        looping: Callable[..., threading.Thread],
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        telegram.go_down()
        thread = looping()
        eventually(lambda: "unreachable" in readiness(pg_api.app)["detail"])
        answer = pg_api.client().get("/health/ready")
        assert (answer.status_code, answer.get_json()["status"]) == (200, "degraded")
        assert pg_api.reader().submit().status_code == 202
        time.sleep(0.5)
        assert len(errors(caplog)) == 1
        assert thread.is_alive()
        telegram.come_back()
        chat = new_chat()
        telegram.send_text(chat, "/help")
        eventually(lambda: replied(pg_api.app) == [chat])
        eventually(lambda: bool(readiness(pg_api.app)["ok"]))

    def test_a_wrong_token_is_a_red_detail_and_not_a_crash(
        self,
        pg_app: App,
        looping: Callable[..., threading.Thread],
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        thread = looping("1000:wrong")
        eventually(lambda: "TELEGRAM_BOT_TOKEN" in readiness(pg_app)["detail"])
        time.sleep(0.4)
        assert thread.is_alive()
        assert len(errors(caplog)) == 1

    def test_a_second_program_that_reads_is_named(
        self, app: App, telegram: BotApiStandIn, poller: Poller
    ) -> None:
        telegram.fail_next("getUpdates", status=409, description="terminated by other getUpdates")
        with pytest.raises(TelegramConflict):
            poller.turn(0)


class TestReadiness:
    def test_nobody_has_polled_yet(self, app: App) -> None:
        assert readiness(app) == {"ok": False, "detail": "nobody has polled yet"}

    def test_somebody_polls(self, app: App, telegram: BotApiStandIn, poller: Poller) -> None:
        telegram.send_text(new_chat(), "/help")
        poller.turn(0)
        assert readiness(app) == {"ok": True, "detail": "@two_manga_bot reads updates"}

    def test_nobody_polls_any_more(self, app: App, telegram: BotApiStandIn, poller: Poller) -> None:
        telegram.send_text(new_chat(), "/help")
        poller.turn(0)
        with at_work(app) as current:
            then = clock.now() - POLLED_LATELY * 1.1
            current.execute(update(TelegramPoller).values(polled_at=then))
        assert readiness(app)["ok"] is False


def last_polled(app: App, ago: timedelta) -> None:
    with at_work(app) as current:
        current.add(TelegramPoller(id=1, polled_at=clock.now() - ago))


class TestReturn:
    """After more than the 150 s that a press lives, others hear of it."""

    @pytest.fixture
    def heard(self, app: App) -> Iterator[list[int]]:
        found: list[int] = []

        def listener(event: PollerReturned) -> None:
            found.append(event.away_seconds)

        listen(app, PollerReturned, listener)
        yield found
        app.extensions["kit.events"][PollerReturned].remove(listener)

    def test_is_told_once(self, app: App, poller: Poller, heard: list[int]) -> None:
        last_polled(app, timedelta(seconds=200))
        poller.turn(0)
        poller.turn(0)
        assert len(heard) == 1
        assert 200 <= heard[0] < 210

    def test_a_short_absence_is_none(self, app: App, poller: Poller, heard: list[int]) -> None:
        last_polled(app, timedelta(seconds=140))
        poller.turn(0)
        assert heard == []

    def test_nor_is_the_first_start(self, poller: Poller, heard: list[int]) -> None:
        poller.turn(0)
        assert heard == []

    def test_it_is_none_while_nothing_can_be_read(
        self, app: App, telegram: BotApiStandIn, poller: Poller, heard: list[int]
    ) -> None:
        last_polled(app, timedelta(seconds=200))
        telegram.fail_next("getUpdates", status=409)
        with pytest.raises(TelegramConflict):
            poller.turn(0)
        assert heard == []


@contextmanager
def failing(app: App, begins: str = "") -> Iterator[threading.Event]:
    """No statement that begins so reaches the database, as long as the event is set."""
    away = threading.Event()
    away.set()

    def fail(_: object, __: object, statement: str, *___: object) -> None:
        if away.is_set() and statement.startswith(begins):
            raise OperationalError(statement, {}, Exception("server closed the connection"))

    with app.app_context():
        engine = db.engine
    event.listen(engine, "before_cursor_execute", fail)
    try:
        yield away
    finally:
        event.remove(engine, "before_cursor_execute", fail)


class TestDatabaseAway:
    def test_is_waited_for_and_logged_once(
        self,
        pg_app: App,
        telegram: BotApiStandIn,
        looping: Callable[..., threading.Thread],
        caplog: pytest.LogCaptureFixture,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(runner, "DATABASE_PAUSE_SECONDS", 0.05)
        with failing(pg_app) as away:
            thread = looping()
            eventually(lambda: bool(errors(caplog)))
            time.sleep(0.5)
            assert thread.is_alive()
            assert ["the database is away" in line for line in errors(caplog)] == [True]
            away.clear()
            chat = new_chat()
            telegram.send_text(chat, "/help")
            eventually(lambda: replied(pg_app) == [chat])

    def test_lasts_while_only_reads_succeed(self, pg_app: App, telegram: BotApiStandIn) -> None:
        """Else a full disk is away and back again with every note that is due."""
        loop = Poller(pg_app, client_of(pg_app, telegram), Stop())
        with failing(pg_app, "INSERT INTO telegram_poller"):
            for _ in range(3):
                with pytest.raises(OperationalError):
                    loop.turn(0)
        loop.turn(0)
        assert readiness(pg_app)["ok"]
