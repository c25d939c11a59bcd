"""The Bot API of the stand-in, driven by telebot as the project does, and by raw requests."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import requests
import telebot
from telebot import apihelper, types
from telebot.apihelper import ApiTelegramException

from tests.standins.telegram import BotApiStandIn, Limits
from tests.standins.telegram_client import (
    CHANNEL,
    OTHER,
    TOKEN,
    USER,
    call,
    error,
    in_background,
    wait_until,
)


@pytest.fixture
def stand_in() -> Iterator[BotApiStandIn]:
    with BotApiStandIn(TOKEN, callback_life_seconds=30) as running:
        yield running


@pytest.fixture
def bot(stand_in: BotApiStandIn, monkeypatch: pytest.MonkeyPatch) -> Iterator[telebot.TeleBot]:
    session = requests.Session()
    monkeypatch.setattr(apihelper, "API_URL", stand_in.url + "/bot{0}/{1}")
    monkeypatch.setattr(apihelper, "_get_req_session", lambda reset=False: session)
    monkeypatch.setattr(apihelper, "CUSTOM_REQUEST_SENDER", None)  # the project's client sets it
    yield telebot.TeleBot(TOKEN, threaded=False)
    session.close()


def keyboard(*buttons: types.InlineKeyboardButton) -> types.InlineKeyboardMarkup:
    return types.InlineKeyboardMarkup([list(buttons)])


class TestUpdates:
    def test_telebot_reads_a_command(self, stand_in: BotApiStandIn, bot: telebot.TeleBot) -> None:
        update_id = stand_in.send_text(USER, "/start CODE", first_name="Sara", username="sara")
        (update,) = bot.get_updates(long_polling_timeout=1)
        message = update.message
        assert update.update_id == update_id
        assert (message.chat.id, message.chat.type, message.text) == (
            USER,
            "private",
            "/start CODE",
        )
        assert (message.from_user.username, message.from_user.language_code) == ("sara", "fa")
        entity = message.entities[0]
        assert (entity.type, entity.offset, entity.length) == ("bot_command", 0, 6)

    def test_a_long_poll_wakes_at_once(self, stand_in: BotApiStandIn) -> None:
        poll = in_background(lambda: call(stand_in, "getUpdates", timeout=20).json())
        wait_until(lambda: stand_in.poll_waiting)
        started = time.monotonic()
        update_id = stand_in.send_text(USER, "hello")
        assert poll.result(30)["result"][0]["update_id"] == update_id
        assert time.monotonic() - started < 15

    def test_a_higher_offset_confirms(self, stand_in: BotApiStandIn) -> None:
        ids = [stand_in.send_text(USER, str(number)) for number in range(5)]
        batch = call(stand_in, "getUpdates", limit=2).json()["result"]
        assert [update["update_id"] for update in batch] == ids[:2]
        rest = call(stand_in, "getUpdates", offset=ids[1] + 1).json()["result"]
        assert [update["update_id"] for update in rest] == ids[2:]
        assert stand_in.pending_updates() == 3
        assert [r.update_id for r in stand_in.update_log() if r.outcome == "confirmed"] == ids[:2]

    def test_a_negative_offset_forgets_the_older_ones(self, stand_in: BotApiStandIn) -> None:
        ids = [stand_in.send_text(USER, str(number)) for number in range(3)]
        batch = call(stand_in, "getUpdates", offset=-1).json()["result"]
        assert [update["update_id"] for update in batch] == ids[2:]
        assert stand_in.update_log()[0].outcome == "forgotten"

    def test_a_busy_loop_is_slowed_down(self, stand_in: BotApiStandIn) -> None:
        for number in range(3):
            stand_in.send_text(USER, str(number))
        for _ in range(20):  # until two in a row were quick enough for it
            begun = time.monotonic()
            seen = [len(call(stand_in, "getUpdates").json()["result"]) for _ in range(2)]
            if time.monotonic() - begun < 0.4:
                break
            time.sleep(1)
        assert seen == [3, 1]

    def test_an_offset_far_in_the_future_confirms_nothing(self, stand_in: BotApiStandIn) -> None:
        update_id = stand_in.send_text(USER, "hello")
        assert call(stand_in, "getUpdates", offset=update_id + 1000).json()["result"]
        assert stand_in.pending_updates() == 1

    def test_allowed_updates_are_remembered(self, stand_in: BotApiStandIn) -> None:
        stand_in.send_text(USER, "before")
        asked = json.dumps(["callback_query"])
        assert call(stand_in, "getUpdates", allowed_updates=asked).json()["result"]
        assert stand_in.send_text(USER, "not wanted") == 0
        call(stand_in, "setWebhook", url="", allowed_updates=[])
        assert stand_in.pending_updates() == 1

    def test_a_second_poll_ends_the_first(self, stand_in: BotApiStandIn) -> None:
        first = in_background(lambda: call(stand_in, "getUpdates", timeout=20))
        wait_until(lambda: stand_in.poll_waiting)
        second = in_background(lambda: call(stand_in, "getUpdates", timeout=20))
        answer = first.result(30)
        assert answer.status_code == 409
        assert answer.json()["description"] == (
            "Conflict: terminated by other getUpdates request;"
            " make sure that only one bot instance is running"
        )
        stand_in.send_text(USER, "for the second")
        assert second.result(30).json()["result"]
        assert stand_in.concurrent_polls_seen == 1

    def test_a_dead_poller_is_no_conflict(self, stand_in: BotApiStandIn) -> None:
        with pytest.raises(requests.ReadTimeout):
            requests.get(f"{stand_in.url}/bot{TOKEN}/getUpdates?timeout=20", timeout=0.3)
        stand_in.send_text(USER, "hello")
        assert call(stand_in, "getUpdates", offset=1).json()["ok"]
        assert stand_in.concurrent_polls_seen == 0


class TestMessages:
    def test_send_edit_delete(self, stand_in: BotApiStandIn, bot: telebot.TeleBot) -> None:
        stand_in.send_text(USER, "/start", first_name="Sara")
        sent = bot.send_message(
            USER,
            "<b>سلام</b> &lt;<a href='https://example.com/x'>x</a>&gt; 😀<code>1</code>",
            parse_mode="HTML",
            reply_markup=keyboard(types.InlineKeyboardButton("ok", callback_data="ok:1")),
        )
        assert (sent.message_id, sent.chat.first_name, sent.from_user.is_bot) == (2, "Sara", True)
        assert sent.text == "سلام <x> 😀1"
        kinds = [(entity.type, entity.offset, entity.length) for entity in sent.entities]
        assert kinds == [("bold", 0, 4), ("text_link", 6, 1), ("code", 11, 1)]
        assert sent.reply_markup.keyboard[0][0].callback_data == "ok:1"

        edited = bot.edit_message_text("done", USER, sent.message_id)
        assert edited.edit_date
        assert edited.reply_markup is None
        message = stand_in.messages(USER)[-1]
        assert (message.text, message.edited, message.reply_markup) == ("done", True, None)
        assert "<b>سلام</b>" in message.history[0]

        bot.edit_message_reply_markup(
            USER,
            sent.message_id,
            reply_markup=keyboard(types.InlineKeyboardButton("a", url="a.io")),
        )
        assert stand_in.messages(USER)[-1].buttons == [{"text": "a", "url": "a.io"}]
        assert bot.delete_message(USER, sent.message_id)
        assert len(stand_in.messages(USER)) == 1

    def test_every_way_to_send_parameters(self, stand_in: BotApiStandIn) -> None:
        stand_in.send_text(USER, "/start")
        url, fields = f"{stand_in.url}/bot{TOKEN}/sendMessage", {"chat_id": str(USER), "text": "آ"}
        answers = (
            requests.get(url, params=fields, timeout=5),
            requests.post(url, params=fields, timeout=5),
            requests.post(url, data=fields, timeout=5),
            requests.post(url, json=fields, timeout=5),
            requests.post(url, files={k: (None, v) for k, v in fields.items()}, timeout=5),
        )
        assert [answer.json()["result"]["text"] for answer in answers] == ["آ"] * 5

    def test_a_document_arrives_whole(self, stand_in: BotApiStandIn, bot: telebot.TeleBot) -> None:
        stand_in.add_group(CHANNEL, "Log")
        content = bytes(range(256)) * 40 + b"\r\n--not the end\r\n"
        sent = bot.send_document(
            CHANNEL,
            io.BytesIO(content),
            caption="<b>پشتیبان</b>",
            visible_file_name="b.enc",
            parse_mode="HTML",
        )
        assert (sent.document.file_name, sent.document.file_size) == ("b.enc", len(content))
        assert (sent.caption, sent.chat.type, sent.sender_chat.id) == (
            "پشتیبان",
            "channel",
            CHANNEL,
        )
        assert stand_in.file(sent.document.file_id) == content
        path = bot.get_file(sent.document.file_id).file_path
        answer = requests.get(f"{stand_in.url}/file/bot{TOKEN}/{path}", timeout=5)
        assert answer.content == content

    def test_a_text_as_long_as_allowed(self, stand_in: BotApiStandIn, bot: telebot.TeleBot) -> None:
        stand_in.send_text(USER, "/start")
        assert bot.send_message(USER, "<i>" + "ب" * 4096 + "</i>", parse_mode="HTML")
        with pytest.raises(ApiTelegramException, match="message is too long"):
            bot.send_message(USER, "😀" * 2049)

    def test_commands_chat_and_me(self, stand_in: BotApiStandIn, bot: telebot.TeleBot) -> None:
        stand_in.send_text(USER, "/start", first_name="Sara")
        scope = types.BotCommandScopeChat(USER)
        bot.set_my_commands([types.BotCommand("pending", "در انتظار")], scope, "fa")
        assert bot.get_my_commands(scope, "fa")[0].description == "در انتظار"
        assert bot.get_my_commands() == []
        assert bot.delete_my_commands(scope, "fa")
        assert bot.get_my_commands(scope, "fa") == []
        with pytest.raises(ApiTelegramException, match="BOT_COMMAND_INVALID"):
            bot.set_my_commands([types.BotCommand("Bad-Name", "x")])
        assert bot.get_chat(USER).first_name == "Sara"
        assert bot.get_me().username == "two_manga_bot"
        assert bot.send_chat_action(USER, "typing")


class TestRefusals:
    def test_tokens_and_methods(self, stand_in: BotApiStandIn) -> None:
        def answer(path: str) -> tuple[int, str]:
            reply = requests.get(stand_in.url + path, timeout=5)
            return reply.status_code, reply.json()["description"]

        assert answer("/bot1000:wrong/getMe") == (401, "Unauthorized")
        assert answer("/bot1000/getMe") == (404, "Not Found")
        assert answer(f"/bot{TOKEN}/noSuchMethod") == (404, "Not Found")

    @pytest.mark.parametrize(
        ("text", "reason"),
        [
            ("<b>x", 'Can\'t find end tag corresponding to start tag "b"'),
            ("a<b>x</i>", 'Unmatched end tag at byte offset 5, expected "</b>", found "</i>"'),
            ("آ<div>x</div>", 'Unsupported start tag "div" at byte offset 2'),
            ("x</b>", "Unexpected end tag at byte offset 1"),
            ("1 < 2", 'Unsupported start tag "" at byte offset 2'),
            ("x <b", "Unclosed start tag at byte offset 2"),
        ],
    )
    def test_broken_html(self, stand_in: BotApiStandIn, text: str, reason: str) -> None:
        refused = error(stand_in, "sendMessage", chat_id=USER, text=text, parse_mode="HTML")
        assert refused == (400, f"Bad Request: can't parse entities: {reason}")

    def test_bad_texts_chats_and_buttons(self, stand_in: BotApiStandIn) -> None:
        def refused(**params: Any) -> tuple[int, str]:
            return error(stand_in, "sendMessage", **params)

        stand_in.send_text(USER, "/start")
        assert refused(chat_id=OTHER, text="x") == (400, "Bad Request: chat not found")
        assert refused(chat_id=USER, text=" \n") == (400, "Bad Request: message text is empty")
        assert refused(text="x") == (400, "Bad Request: chat_id is empty")
        for data in ("", "آ" * 33):
            markup = {"inline_keyboard": [[{"text": "a", "callback_data": data}]]}
            answer = refused(chat_id=USER, text="x", reply_markup=markup)
            assert answer == (400, "Bad Request: BUTTON_DATA_INVALID")
        markup = {"inline_keyboard": [[{"text": "a", "url": "http://localhost:8000"}]]}
        answer = refused(chat_id=USER, text="x", reply_markup=json.dumps(markup))
        assert answer[1].endswith("'http://localhost:8000' is invalid: Wrong HTTP URL")
        assert len(stand_in.messages(USER)) == 1

    def test_edits(self, stand_in: BotApiStandIn) -> None:
        stand_in.send_text(USER, "/start")
        call(stand_in, "sendMessage", chat_id=USER, text="x")

        def refused(method: str = "editMessageText", **params: Any) -> tuple[int, str]:
            return error(stand_in, method, chat_id=USER, **params)

        not_modified = (
            "Bad Request: message is not modified: specified new message content and reply markup"
            " are exactly the same as a current content and reply markup of the message"
        )
        assert refused(message_id=2, text="x") == (400, not_modified)
        assert refused("editMessageReplyMarkup", message_id=2) == (400, not_modified)
        assert refused(message_id=9, text="y") == (400, "Bad Request: message to edit not found")
        assert refused(message_id=1, text="y") == (400, "Bad Request: message can't be edited")
        answer = refused("deleteMessage", message_id=9)
        assert answer == (400, "Bad Request: message to delete not found")

    def test_closed_chats(self, stand_in: BotApiStandIn) -> None:
        def refused(chat_id: int) -> tuple[int, str]:
            return error(stand_in, "sendMessage", chat_id=chat_id, text="x")

        stand_in.send_text(USER, "/start")
        stand_in.block(USER)
        assert refused(USER) == (403, "Forbidden: bot was blocked by the user")
        (_, update) = call(stand_in, "getUpdates").json()["result"]
        member = types.Update.de_json(update).my_chat_member
        assert member.new_chat_member.status == "kicked"
        stand_in.unblock(USER)
        assert call(stand_in, "sendMessage", chat_id=USER, text="x").json()["ok"]
        stand_in.deactivate(USER)
        assert refused(USER) == (403, "Forbidden: user is deactivated")
        stand_in.add_group(CHANNEL, "Log")
        stand_in.kick(CHANNEL)
        assert refused(CHANNEL) == (403, "Forbidden: bot was kicked from the channel chat")

    def test_open_chats(self) -> None:
        with BotApiStandIn(TOKEN, open_chats=True) as stand_in:
            assert call(stand_in, "sendMessage", chat_id=USER, text="x").json()["ok"]
            assert error(stand_in, "sendMessage", chat_id=-5, text="x")[0] == 400

    def test_limits(self, monkeypatch: pytest.MonkeyPatch) -> None:
        still = SimpleNamespace(monotonic=lambda: 100.0)
        monkeypatch.setattr("tests.standins.telegram.limits.time", still)
        with BotApiStandIn(TOKEN, limits=Limits(per_chat_burst=2)) as stand_in:
            stand_in.send_text(USER, "/start")
            answers = [call(stand_in, "sendMessage", chat_id=USER, text="x") for _ in range(3)]
        assert [answer.status_code for answer in answers] == [200, 200, 429]
        assert answers[2].headers["Retry-After"] == "1"
        assert answers[2].json()["parameters"] == {"retry_after": 1}


class TestPresses:
    def test_press_and_answer(self, stand_in: BotApiStandIn, bot: telebot.TeleBot) -> None:
        stand_in.add_group(CHANNEL, "Desk", "supergroup")
        markup = keyboard(
            types.InlineKeyboardButton("✅ Approve", callback_data="a:1"),
            types.InlineKeyboardButton("❌ Reject", callback_data="r:1"),
        )
        sent = bot.send_message(CHANNEL, "Pay?", reply_markup=markup)
        query_id = stand_in.press(USER, sent.message_id, chat_id=CHANNEL, text_contains="Reject")
        (update,) = bot.get_updates(long_polling_timeout=1)[-1:]
        query = update.callback_query
        assert (query.id, query.data, query.from_user.id) == (query_id, "r:1", USER)
        assert (query.message.chat.id, query.message.text) == (CHANNEL, "Pay?")
        assert bot.answer_callback_query(query.id, "ثبت شد", show_alert=True)
        assert stand_in.wait_for_callback_answer(query_id, timeout=1) == "ثبت شد"
        with pytest.raises(AssertionError, match="no such button"):
            stand_in.press(USER, sent.message_id, chat_id=CHANNEL, data="z")
        assert stand_in.press_raw(USER, sent.message_id, "'; drop", CHANNEL)

    def test_late_presses(self) -> None:
        with BotApiStandIn(TOKEN, callback_life_seconds=0.2) as stand_in:
            stand_in.send_text(USER, "/start")
            query_id = stand_in.press_raw(USER, 1, "x")
            time.sleep(0.25)
            assert stand_in.pending_updates() == 1
            assert stand_in.update_log()[-1].outcome == "expired"
            too_old = (
                "Bad Request: query is too old and response timeout expired or query ID is invalid"
            )
            for unknown in (query_id, "123"):
                refused = error(stand_in, "answerCallbackQuery", callback_query_id=unknown)
                assert refused == (400, too_old)

    def test_waiting_tells_what_was_there(self, stand_in: BotApiStandIn) -> None:
        stand_in.send_text(USER, "/start")
        call(stand_in, "sendMessage", chat_id=USER, text="سلام")
        assert stand_in.wait_for_message(USER, "سلام").message_id == 2
        with pytest.raises(AssertionError, match="سلام"):
            stand_in.wait_for_message(USER, "خداحافظ", timeout=0.1)
        later = in_background(lambda: stand_in.wait_for_message(USER, after_message_id=2))
        call(stand_in, "sendMessage", chat_id=USER, text="دوم")
        assert later.result(30).text == "دوم"
