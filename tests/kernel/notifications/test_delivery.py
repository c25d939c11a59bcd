"""Delivery through a Telegram that refuses, limits, stalls and goes away."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import time_machine

from manga_backend.kernel.notifications import runner
from manga_backend.kernel.notifications.models import Notification
from manga_backend.kernel.notifications.service import delivery, outbox
from manga_backend.kernel.notifications.service.governor import governor
from manga_backend.kernel.notifications.types import Status
from manga_backend.kernel.telegram import clients
from manga_backend.kernel.telegram.clients import BotClient
from manga_backend.kernel.telegram.types import Message
from manga_backend.kit import clock
from manga_backend.kit.app import App
from manga_backend.kit.db import db
from manga_backend.kit.jobs import local_flag
from manga_backend.kit.leader import Stop
from tests.deployment.processes import eventually
from tests.kernel.factories import at_work, make_due, make_reader, new_chat, rows
from tests.kernel.notifications.test_service import claim, one, queue
from tests.support import Api, at_once
from tools.services import PostgresServer


@pytest.fixture(autouse=True)
def uncomplaining() -> None:
    """As if nothing had been complained about before."""
    runner._telegram.ends()
    runner._database.ends()


def texts(api: Api, chat: int) -> list[str]:
    """What the bot has written into a chat."""
    return [message.text for message in api.bot.messages(chat) if message.from_bot]


def sends(api: Api, chat: int) -> int:
    """How often the bot tried."""
    calls = api.bot.calls("sendMessage")
    return sum(str(call.params.get("chat_id")) == str(chat) for call in calls)


def complaints(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.levelno >= logging.ERROR]


class TestSent:
    def test_what_waits_leaves_once(self, api: Api) -> None:
        chat = new_chat()
        row = queue(api.app, chat, "<b>hello</b>")
        assert api.deliver() == 1
        assert api.deliver() == 0
        assert texts(api, chat) == ["hello"]
        found = one(api.app, row)
        assert (found.status, found.attempts) == (Status.SENT, 1)
        assert found.telegram_message_id == api.bot.messages(chat)[0].message_id
        assert found.sent_at is not None

    def test_one_chats_messages_keep_their_order(self, api: Api) -> None:
        chat = new_chat()
        for number in range(25):  # more than a batch
            queue(api.app, chat, f"{number}")
        api.deliver()
        assert texts(api, chat) == [f"{number}" for number in range(25)]

    def test_an_edit_of_what_stands_there_already_counts_as_sent(self, api: Api) -> None:
        chat = new_chat()
        row = queue(api.app, chat, "same")
        api.deliver()
        with at_work(api.app) as current:
            outbox.edit_message(current.get_one(Notification, row), Message("same"))
        api.deliver()
        edit = rows(api.app, Notification)[1]
        assert (edit.status, edit.last_error) == (Status.SENT, None)

    def test_an_edit_of_a_message_that_is_gone_is_given_up(self, api: Api) -> None:
        chat = new_chat()
        row = queue(api.app, chat, "old")
        api.deliver()
        del api.bot._state.chats[chat].messages[api.bot.messages(chat)[0].message_id]
        with at_work(api.app) as current:
            outbox.edit_message(current.get_one(Notification, row), Message("new"))
        api.deliver()
        assert rows(api.app, Notification)[1].status is Status.DEAD

    def test_edits_that_wait_hold_up_nobody_in_the_same_drain(self, api: Api) -> None:
        """More of them than a batch has room for, before an ordinary message."""
        original = queue(api.app, new_chat())
        with at_work(api.app):
            delivery.claim_due(1)  # in flight elsewhere
        with at_work(api.app) as current:
            row = current.get_one(Notification, original)
            for _ in range(runner.LARGEST_HAND):
                outbox.edit_message(row, Message("edited"))
        chat = new_chat()
        queue(api.app, chat, "hello")
        api.deliver()
        assert texts(api, chat) == ["hello"]


def rested(api: Api) -> None:
    """As if the time that Telegram asked for had passed."""
    del api.app.extensions["notifications.governor"]
    make_due(api.app)


class TestTooManyRequests:
    def test_that_chat_waits_as_long_as_asked_and_others_do_not(self, api: Api) -> None:
        slow, other = new_chat(), new_chat()
        first, second = queue(api.app, slow, "1"), queue(api.app, slow, "2")
        api.bot.fail_next("sendMessage", status=429, retry_after=30)
        now = clock.now()
        api.deliver()
        queue(api.app, slow, "3")
        queue(api.app, other, "x")
        api.deliver()
        assert texts(api, other) == ["x"]
        for row in (first, second):
            found = one(api.app, row)
            assert (found.status, found.attempts) == (Status.NEW, 0)
            pause = (found.due_at - now).total_seconds()
            assert 29.9 < pause < 60
        rested(api)
        api.deliver()
        assert sorted(texts(api, slow)) == ["1", "2", "3"]

    def test_what_waited_already_in_that_chat_waits_too(self, api: Api) -> None:
        chat = new_chat()
        for number in range(25):
            queue(api.app, chat, f"{number}")
        api.bot.fail_next("sendMessage", status=429, retry_after=30)
        api.deliver()
        assert sends(api, chat) == 1
        rested(api)
        api.deliver()
        assert texts(api, chat) == [f"{number}" for number in range(25)]

    def test_is_no_reason_to_complain(self, api: Api, caplog: pytest.LogCaptureFixture) -> None:
        queue(api.app, new_chat())
        api.bot.fail_next("sendMessage", status=429, retry_after=1)
        api.deliver()
        assert complaints(caplog) == []


class TestRefused:
    @pytest.mark.parametrize("how", ["block", "deactivate"])
    def test_an_unreachable_user_is_given_up_and_others_go_on(self, api: Api, how: str) -> None:
        gone, other = new_chat(), new_chat()
        api.bot.open_chat(gone)
        getattr(api.bot, how)(gone)
        row = queue(api.app, gone)
        queue(api.app, other, "x")
        api.deliver()
        make_due(api.app)
        api.deliver()
        found = one(api.app, row)
        assert (found.status, found.attempts) == (Status.UNREACHABLE, 1)
        assert "Forbidden" in (found.last_error or "")
        assert texts(api, other) == ["x"]

    @pytest.mark.parametrize("words", ["message is too long", "can't parse", "PEER_FLOOD"])
    def test_a_400_is_final(self, api: Api, words: str) -> None:
        row = queue(api.app, new_chat())
        api.bot.fail_next("sendMessage", status=400, description=words)
        api.deliver()
        make_due(api.app)
        assert api.deliver() == 0
        found = one(api.app, row)
        assert found.status is Status.DEAD
        assert words in (found.last_error or "")


def keep_a_connection(api: Api) -> None:
    """One call that went well leaves a connection open for the next."""
    queue(api.app, new_chat(), "before")
    api.deliver()


class TestTrouble:
    @pytest.mark.parametrize(
        "trouble",
        [
            {"status": 500},
            {"status": 502, "garbage": True},
            {"status": 409},
            {"status": 401},
            {"status": 404},
            {"status": 500, "drop_connection": True, "count": 2},
            {"status": 500, "garbage": True},
            {"status": 503, "delay": 0.5},
        ],
        ids=str,
    )
    def test_is_retried_later_and_told_once(
        self, api: Api, trouble: dict[str, Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        keep_a_connection(api)
        chat = new_chat()
        row = queue(api.app, chat, "x")
        api.bot.fail_next("sendMessage", **trouble)
        begun = clock.now()
        with monkeypatch.context() as patience:
            if "delay" in trouble:
                patience.setattr(clients, "CALL_SECONDS", 0.25)
            api.deliver()
        found = one(api.app, row)
        assert (found.status, found.attempts) == (Status.FAILED, 1)
        assert found.due_at >= begun + timedelta(seconds=1)
        assert found.last_error
        assert "stand-in" not in found.last_error  # the token
        assert texts(api, chat) == []
        with time_machine.travel(clock.now() + timedelta(seconds=3)):
            api.deliver()
        assert texts(api, chat) == ["x"]
        found = one(api.app, row)
        assert (found.status, found.attempts, found.last_error) == (Status.SENT, 2, None)

    def test_a_kept_connection_that_was_closed_meanwhile_is_none(self, api: Api) -> None:
        keep_a_connection(api)
        chat = new_chat()
        row = queue(api.app, chat, "x")
        api.bot.fail_next("sendMessage", status=500, drop_connection=True)
        api.deliver()
        assert texts(api, chat) == ["x"]
        assert (one(api.app, row).status, one(api.app, row).attempts) == (Status.SENT, 1)

    def test_an_answer_that_is_no_answer_is_trouble_too(self, api: Api) -> None:
        """Telegram took it, but said so in HTML: sent again, never lost."""
        chat = new_chat()
        row = queue(api.app, chat, "x")
        api.bot.fail_next("sendMessage", status=200, garbage=True)
        api.deliver()
        assert one(api.app, row).status is Status.FAILED
        make_due(api.app)
        api.deliver()
        assert one(api.app, row).status is Status.SENT

    def test_after_24_hours_of_it_a_message_is_dead(self, api: Api) -> None:
        row = queue(api.app, new_chat())
        api.bot.go_down()
        start = clock.now()
        for hours in (0, 1, 12, 23.9):
            with time_machine.travel(start + timedelta(hours=hours)):
                api.deliver()
            assert one(api.app, row).status is Status.FAILED
        with time_machine.travel(start + timedelta(hours=24, seconds=1)):
            api.deliver()
        found = one(api.app, row)
        assert (found.status, found.attempts) == (Status.DEAD, 5)
        assert found.last_error


class TestOutage:
    def test_the_site_answers_the_log_says_it_once_and_all_is_told_once_back(
        self, api: Api, caplog: pytest.LogCaptureFixture
    ) -> None:
        api.bot.go_down()
        readers = [make_reader(api) for _ in range(3)]
        for reader in readers:
            assert reader.submit().status_code == 202
            assert reader.get("/api/user/status").status_code == 200
        for _ in range(3):
            api.deliver()
            make_due(api.app)
        assert len(complaints(caplog)) == 1
        assert "Telegram" in complaints(caplog)[0]
        assert not any("stand-in" in record.getMessage() for record in caplog.records)
        assert {row.status for row in rows(api.app, Notification)} == {Status.FAILED}
        api.bot.come_back()
        api.deliver()
        assert {row.status for row in rows(api.app, Notification)} == {Status.SENT}
        for reader in readers:
            assert len([m for m in api.bot.messages(900001) if reader.username in m.text]) == 1

    def test_its_end_is_said_once_and_the_next_one_again(
        self, api: Api, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level("INFO", logger=runner.__name__)
        for _ in range(2):
            queue(api.app, new_chat())
            api.bot.go_down()
            api.deliver()
            api.bot.come_back()
            make_due(api.app)
            api.deliver()
        said = [record.getMessage().partition(":")[0] for record in caplog.records]
        once = ["messages wait, Telegram does not take them", "messages leave again"]
        assert [line for line in said if line in once] == once * 2


class TestLease:
    def test_what_a_killed_process_had_claimed_leaves_after_the_lease(self, api: Api) -> None:
        chat = new_chat()
        row = queue(api.app, chat, "x")
        assert claim(api.app) == [row]  # and then kill -9
        assert api.deliver() == 0
        with time_machine.travel(clock.now() + delivery.LEASE):
            assert api.deliver() == 1
        assert texts(api, chat) == ["x"]
        assert one(api.app, row).attempts == 2

    def test_nothing_is_sent_when_the_lease_is_nearly_over(
        self, api: Api, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(runner, "TRUST_LEASE_SECONDS", -1.0)
        chat = new_chat()
        row = queue(api.app, chat, "x")
        stop = Stop()
        with api.app.app_context():
            threading.Timer(0.3, stop.set).start()
            runner.drain(stop)
        assert sends(api, chat) == 0
        found = one(api.app, row)
        assert (found.status, found.attempts) == (Status.NEW, 0)  # it was no attempt


class TestEngine:
    def test_a_fault_of_ours_is_tried_again_later_and_holds_up_nobody(
        self, api: Api, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        poison, other = queue(api.app, new_chat(), "poison"), new_chat()
        queue(api.app, other, "x")
        send = BotClient.send_message

        def fail(self: BotClient, chat_id: int, text: str, buttons: Any) -> int:
            if text == "poison":
                raise ZeroDivisionError
            return send(self, chat_id, text, buttons)

        monkeypatch.setattr(BotClient, "send_message", fail)
        begun = clock.now()
        api.deliver()
        found = one(api.app, poison)
        assert (found.status, found.attempts) == (Status.FAILED, 1)
        assert found.due_at >= begun + timedelta(seconds=1)
        assert found.last_error == "ZeroDivisionError"
        assert texts(api, other) == ["x"]

    def test_nobody_sleeps_through_a_long_rest(self, api: Api) -> None:
        """The bot has to rest for a minute: a stop takes none, and what waits is given back."""
        row = queue(api.app, new_chat(), "x")
        stop = Stop()
        with api.app.app_context():
            governor()._pace.rest(None, 60)
            threading.Timer(0.5, stop.set).start()
            begun = time.monotonic()
            runner.drain(stop)
            del api.app.extensions["notifications.governor"]
        assert time.monotonic() - begun < 30
        found = one(api.app, row)
        assert (found.status, found.attempts) == (Status.NEW, 0)


class TestAtOnce:
    def test_four_drains_send_each_of_60_messages_once(self, pg_api: Api) -> None:
        chats = [new_chat() for _ in range(20)]
        for number in range(3):
            for chat in chats:
                queue(pg_api.app, chat, f"{number}")
        tried = at_once(4, lambda _: pg_api.deliver())
        assert sum(tried) == 60
        for chat in chats:
            assert Counter(texts(pg_api, chat)) == {"0": 1, "1": 1, "2": 1}
            assert sends(pg_api, chat) == 3
        statuses = Counter(row.status for row in rows(pg_api.app, Notification))
        assert statuses == {Status.SENT: 60}


@pytest.fixture
def delivering(pg_app: App) -> Iterator[threading.Thread]:
    """The loop that a leader or a worker runs."""
    stop = Stop()
    thread = threading.Thread(target=runner.deliver_here, args=(pg_app, stop), daemon=True)
    thread.start()
    yield thread
    stop.set()
    until = time.monotonic() + 60
    while thread.is_alive() and time.monotonic() < until:
        with pg_app.app_context():
            local_flag(outbox.DELIVER).set()  # again, if it was taken back just now
        thread.join(0.5)
    assert not thread.is_alive()


@pytest.mark.usefixtures("delivering")
class TestDeliverHere:
    def test_what_this_process_wrote_leaves_at_once(
        self, pg_api: Api, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(runner, "SWEEP_SECONDS", 600.0)
        for _ in range(2):  # no sweep comes after the first
            chat = new_chat()
            queue(pg_api.app, chat, "x")
            pg_api.bot.wait_for_message(chat, timeout=30)

    def test_what_another_process_wrote_leaves_within_5_s(
        self, pg_api: Api, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(outbox, "wake", lambda _name: None)
        chat = new_chat()
        assert runner.SWEEP_SECONDS < 5
        queue(pg_api.app, chat, "x")
        pg_api.bot.wait_for_message(chat, timeout=30)

    def test_a_database_that_was_away_is_waited_for(
        self,
        pg_api: Api,
        delivering: threading.Thread,
        postgres: PostgresServer,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        def away() -> list[str]:
            return [line for line in complaints(caplog) if "database is away" in line]

        queue(pg_api.app, new_chat())
        with pg_api.app.app_context():
            name = str(db.engine.url.database)
        with postgres.away(name):  # whether or not what was sent is recorded
            eventually(away)
            time.sleep(runner.SWEEP_SECONDS + 0.5)  # the next sweep meets it too
            assert delivering.is_alive()
            assert len(away()) == 1
        chat = new_chat()
        queue(pg_api.app, chat, "x")
        pg_api.bot.wait_for_message(chat, timeout=30)
