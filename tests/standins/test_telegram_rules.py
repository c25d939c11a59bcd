"""Telegram's own rules (facts.md i), one by one: who may be written to, how long, how fast."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import requests

from tests.standins.telegram import BotApiStandIn, Limits
from tests.standins.telegram.limits import RateLimiter
from tests.standins.telegram.model import ApiError
from tests.standins.telegram_client import CHANNEL, OTHER, TOKEN, USER, call, error, in_background

DAY = 86_400


@pytest.fixture
def stand_in() -> Iterator[BotApiStandIn]:
    with BotApiStandIn(TOKEN) as running:
        yield running


def refused(stand_in: BotApiStandIn, chat_id: int) -> tuple[int, str]:
    return error(stand_in, "sendMessage", chat_id=chat_id, text="x")


class TestMembership:
    def changes(self, stand_in: BotApiStandIn) -> list[Any]:
        updates = call(stand_in, "getUpdates").json()["result"]
        return [update["my_chat_member"] for update in updates if "my_chat_member" in update]

    def test_a_block_and_a_start(self, stand_in: BotApiStandIn) -> None:
        stand_in.send_text(USER, "/start")
        stand_in.block(USER)
        stand_in.block(USER)
        stand_in.send_text(USER, "/start")
        blocked, started = self.changes(stand_in)
        bot = call(stand_in, "getMe").json()["result"]["id"]
        assert (blocked["chat"]["id"], blocked["from"]["id"]) == (USER, USER)
        old, new = blocked["old_chat_member"], blocked["new_chat_member"]
        assert (old["user"]["id"], old["status"]) == (bot, "member")
        assert (new["user"]["id"], new["status"], new["until_date"]) == (bot, "kicked", 0)
        assert (started["old_chat_member"], started["new_chat_member"]) == (new, old)

    def test_only_who_asks_is_told(self, stand_in: BotApiStandIn) -> None:
        call(stand_in, "getUpdates", allowed_updates=["message"])
        stand_in.block(USER)
        assert stand_in.pending_updates() == 0
        call(stand_in, "getUpdates", allowed_updates=["message", "my_chat_member"], offset=1)
        stand_in.unblock(USER)
        assert [record.kind for record in stand_in.update_log()] == ["my_chat_member"]

    def test_strangers(self) -> None:
        with BotApiStandIn(TOKEN, open_chats=True) as stand_in:
            stand_in.add_stranger(USER)
            stand_in.add_stranger(OTHER, is_known=False)
            assert refused(stand_in, USER) == (
                403,
                "Forbidden: bot can't initiate conversation with a user",
            )
            assert refused(stand_in, OTHER) == (400, "Bad Request: chat not found")
            stand_in.send_text(USER, "/start")
            stand_in.open_chat(OTHER)
            assert [record.kind for record in stand_in.update_log()] == ["message"]
            for chat in (USER, OTHER):
                assert call(stand_in, "sendMessage", chat_id=chat, text="x").json()["ok"]

    def test_the_bot_in_a_channel(self, stand_in: BotApiStandIn) -> None:
        bot = call(stand_in, "getMe").json()["result"]["id"]

        def member(chat_id: int = CHANNEL, user_id: int = bot) -> Any:
            return call(stand_in, "getChatMember", chat_id=chat_id, user_id=user_id).json()

        assert member()["description"] == "Bad Request: chat not found"
        stand_in.add_group(CHANNEL, "Log")
        found = member()["result"]
        assert (found["status"], found["can_post_messages"]) == ("administrator", True)
        stand_in.add_group(CHANNEL, "Log", can_post=False)
        assert member()["result"]["can_post_messages"] is False
        assert refused(stand_in, CHANNEL) == (
            400,
            "Bad Request: need administrator rights in the channel chat",
        )
        for go, reason in (
            (stand_in.kick, "bot was kicked from the channel chat"),
            (stand_in.leave, "bot is not a member of the channel chat"),
        ):
            go(CHANNEL)
            assert refused(stand_in, CHANNEL) == (403, f"Forbidden: {reason}")
            assert (member()["error_code"], member()["description"]) == (
                403,
                f"Forbidden: {reason}",
            )
            assert error(stand_in, "getChat", chat_id=CHANNEL)[0] == 403
        news = [change["new_chat_member"]["status"] for change in self.changes(stand_in)]
        assert news == ["kicked", "left"]
        assert member(user_id=OTHER)["error_code"] == 403

    def test_members_elsewhere(self, stand_in: BotApiStandIn) -> None:
        bot = call(stand_in, "getMe").json()["result"]["id"]

        def status(chat_id: int, user_id: int) -> Any:
            found = call(stand_in, "getChatMember", chat_id=chat_id, user_id=user_id).json()
            return found["result"]["status"] if found["ok"] else found["description"]

        stand_in.send_text(USER, "/start")
        stand_in.add_group(CHANNEL, "Desk", "supergroup", can_post=False)
        assert [status(USER, bot), status(USER, USER)] == ["member", "member"]
        assert status(CHANNEL, USER) == "member"
        assert status(CHANNEL, OTHER) == "Bad Request: user not found"
        assert status(CHANNEL, bot) == "restricted"
        assert refused(stand_in, CHANNEL) == (
            400,
            "Bad Request: not enough rights to send text messages to the chat",
        )

    def test_a_group_that_became_a_supergroup(self, stand_in: BotApiStandIn) -> None:
        stand_in.add_group(-55, "Desk", "group")
        assert call(stand_in, "sendMessage", chat_id=-55, text="x").json()["ok"]
        stand_in.upgrade_group(-55, CHANNEL)
        answer = call(stand_in, "sendMessage", chat_id=-55, text="x")
        assert (answer.status_code, answer.json()["parameters"]) == (
            400,
            {"migrate_to_chat_id": CHANNEL},
        )
        sent = call(stand_in, "sendMessage", chat_id=CHANNEL, text="x").json()["result"]
        assert (sent["chat"]["type"], sent["chat"]["title"]) == ("supergroup", "Desk")


class TestLives:
    def test_a_press_lives_150_seconds_and_a_message_a_day(self, stand_in: BotApiStandIn) -> None:
        stand_in.send_text(USER, "/start")
        query_id = stand_in.press_raw(USER, 1, "x")
        stand_in.advance(120)
        assert stand_in.pending_updates() == 2
        assert call(stand_in, "answerCallbackQuery", callback_query_id=query_id).json()["ok"]
        stand_in.advance(40)
        assert [r.outcome for r in stand_in.update_log()] == ["pending", "expired"]
        late = error(stand_in, "answerCallbackQuery", callback_query_id=query_id)
        assert late[1].startswith("Bad Request: query is too old and response timeout expired")
        stand_in.advance(DAY - 200)
        assert stand_in.pending_updates() == 1
        stand_in.advance(100)
        assert stand_in.pending_updates() == 0

    def test_a_message_is_deleted_within_two_days(self, stand_in: BotApiStandIn) -> None:
        stand_in.send_text(USER, "/start")
        for number in (2, 3):
            call(stand_in, "sendMessage", chat_id=USER, text=str(number))
        stand_in.advance(2 * DAY - 60)
        assert call(stand_in, "deleteMessage", chat_id=USER, message_id=2).json()["ok"]
        stand_in.advance(120)
        assert error(stand_in, "deleteMessage", chat_id=USER, message_id=3) == (
            400,
            "Bad Request: message can't be deleted for everyone",
        )
        edited = call(stand_in, "editMessageText", chat_id=USER, message_id=3, text="old but mine")
        assert edited.json()["ok"]


class TestGetUpdates:
    def test_a_hundred_at_most(self, stand_in: BotApiStandIn) -> None:
        for number in range(120):
            stand_in.send_text(USER, str(number))
        for offset, limit in ((1, 100), (2, 0), (3, 101), (4, -1)):
            answer = call(stand_in, "getUpdates", offset=offset, limit=limit).json()
            assert len(answer["result"]) == 100

    def test_a_repeated_conflict_is_answered_late(self, stand_in: BotApiStandIn) -> None:
        call(stand_in, "setWebhook", url="http://127.0.0.1:9/")
        started = time.monotonic()
        assert error(stand_in, "getUpdates")[0] == 409
        assert time.monotonic() - started < 3
        assert error(stand_in, "getUpdates")[0] == 409
        assert time.monotonic() - started >= 3

    def test_the_same_offset_again_waits(self, stand_in: BotApiStandIn) -> None:
        assert call(stand_in, "getUpdates", offset=5).json()["result"] == []
        again = in_background(lambda: call(stand_in, "getUpdates", offset=5, timeout=0).json())
        time.sleep(0.3)
        assert not again.done()
        update_id = stand_in.send_text(USER, "hello")
        assert again.result(30)["result"][0]["update_id"] == update_id


class TestTexts:
    def test_lengths_count_after_the_tags(self, stand_in: BotApiStandIn) -> None:
        stand_in.send_text(USER, "/start")

        def status(text: str, **more: Any) -> Any:
            answer = call(stand_in, "sendMessage", chat_id=USER, text=text, **more)
            return answer.status_code

        assert status("<b>" + "x" * 4096 + "</b>", parse_mode="HTML") == 200
        assert status("&lt;" * 4096, parse_mode="HTML") == 200
        assert status("x" * 4096 + " \n") == 200
        assert status("x" * 4097) == 400
        assert status("😀" * 2048) == 200
        assert status("😀" * 2048 + "x") == 400

    def test_callback_data_counts_bytes(self, stand_in: BotApiStandIn) -> None:
        stand_in.send_text(USER, "/start")

        def status(data: str) -> Any:
            markup = {"inline_keyboard": [[{"text": "a", "callback_data": data}]]}
            answer = call(stand_in, "sendMessage", chat_id=USER, text="x", reply_markup=markup)
            return answer.status_code

        assert [status("x" * 64), status("آ" * 32), status("x" * 65), status("آ" * 33)] == [
            200,
            200,
            400,
            400,
        ]

    def test_an_answer_to_a_press(self, stand_in: BotApiStandIn) -> None:
        stand_in.send_text(USER, "/start")
        query_id = stand_in.press_raw(USER, 1, "x")

        def status(text: str) -> Any:
            return call(
                stand_in, "answerCallbackQuery", callback_query_id=query_id, text=text
            ).status_code

        assert [status("x" * 201), status("x" * 200)] == [400, 200]


class Sender:
    """Sends as fast as it may, by a clock of the test."""

    def __init__(self, limits: Limits, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        monkeypatch.setattr("tests.standins.telegram.limits.time.monotonic", lambda: self.now)
        self.limiter = RateLimiter(limits)
        self.chats = itertools.count(1)

    def burst(self, chat_id: int | None = None) -> int:
        """How many messages pass at this moment, to one chat or to ever new ones."""
        for done in itertools.count():
            try:
                self.limiter.spend(chat_id or next(self.chats), (chat_id or 1) > 0)
            except ApiError:
                return done
        raise AssertionError


class TestLimits:
    @pytest.mark.parametrize(
        ("limits", "first", "at_once_again", "later"),
        [
            (Limits(), 30, 29, 1),
            (Limits(strict=True), 30, 0, 30),
            (Limits.scaled(50), 1500, 1485, 15),
            (Limits.scaled(50, strict=True), 1500, 0, 1500),
        ],
    )
    def test_overall(
        self,
        monkeypatch: pytest.MonkeyPatch,
        limits: Limits,
        first: int,
        at_once_again: int,
        later: int,
    ) -> None:
        sender = Sender(limits, monkeypatch)
        assert sender.burst() == first
        sender.now += 0.9901  # the bucket is almost full again; the window is full until a second
        assert sender.burst() == at_once_again
        sender.now += 0.0101
        assert sender.burst() == later

    def test_a_steady_sender_passes_both(self, monkeypatch: pytest.MonkeyPatch) -> None:
        sender = Sender(Limits(strict=True), monkeypatch)
        for number in range(300):
            sender.limiter.spend(1000 + number, True)
            sender.now += 1 / 29.5

    @pytest.mark.parametrize(("strict", "again"), [(False, 18), (True, 0)])
    def test_groups(self, monkeypatch: pytest.MonkeyPatch, strict: bool, again: int) -> None:
        sender = Sender(Limits(strict=strict), monkeypatch)
        assert sender.burst(CHANNEL) == 20
        sender.now += 55
        assert sender.burst(CHANNEL) == again

    def test_one_chat(self, monkeypatch: pytest.MonkeyPatch) -> None:
        sender = Sender(Limits(), monkeypatch)
        assert sender.burst(USER) == 3
        sender.now += 1.001
        assert sender.burst(USER) == 1


class TestCounts:
    def test_numbers_without_lists(self, monkeypatch: pytest.MonkeyPatch) -> None:
        still = SimpleNamespace(monotonic=lambda: 100.0)
        monkeypatch.setattr("tests.standins.telegram.limits.time", still)
        limits = Limits(per_chat_burst=3)
        with BotApiStandIn(
            TOKEN, open_chats=True, limits=limits, keep_calls=False, keep_last=2
        ) as stand_in:
            stand_in.add_stranger(OTHER)
            stand_in.fail_next("sendMessage", status=429, retry_after=3)
            for _ in range(5):
                call(stand_in, "sendMessage", chat_id=USER, text="x")
            refused(stand_in, OTHER)
            counts = requests.get(f"{stand_in.url}/_control/counts", timeout=5).json()
            assert counts == stand_in.counts()
            assert (counts["sent"], counts["refused_429"]) == (3, 1)
            assert (counts["other_errors"], counts["errors_by_status"]) == (1, {"403": 1})
            assert (counts["injected"], sum(counts["per_second"])) == (1, 3)
            assert 0 < counts["first_at"] <= counts["last_at"]
            assert stand_in.calls() == []
            assert [message.message_id for message in stand_in.messages(USER)] == [2, 3]
            stand_in.reset_counts()
            assert stand_in.counts()["sent"] == 0
