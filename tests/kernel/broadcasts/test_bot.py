"""/broadcast and its buttons, through the Bot API."""

from __future__ import annotations

import pytest

from manga_backend.kernel.broadcasts.models import Broadcast
from manga_backend.kernel.broadcasts.service import drafts, sending
from manga_backend.kernel.broadcasts.types import Audience, State
from manga_backend.kernel.identity.types import Role
from tests.kernel.broadcasts.factories import (
    BOSS,
    audited,
    feed,
    make_users,
    messages,
    report,
    start,
    write,
)
from tests.kernel.factories import at_work, count, make_user, new_chat, rows
from tests.standins.telegram import Message
from tests.support import ADMIN_IDS, Api

ADMIN = ADMIN_IDS[0]


@pytest.fixture
def chat(api: Api) -> int:
    """An admin who is known by a verified Telegram id, in English."""
    chat = new_chat()
    make_user(api.app, role=Role.ADMIN, telegram_id=chat, verified=True)
    api.bot.add_person(chat, language_code="en")
    return chat


def say(api: Api, chat: int, text: str) -> list[Message]:
    """Write to the bot; what it answers."""
    known = {message.message_id for message in api.bot.messages(chat)}
    api.bot.send_text(chat, text)
    api.poll()
    api.deliver()
    return [m for m in api.bot.messages(chat) if m.from_bot and m.message_id not in known]


def card(api: Api, chat: int) -> Message:
    """The newest message with buttons."""
    return [m for m in api.bot.messages(chat) if m.from_bot and m.buttons][-1]


def press(api: Api, chat: int, button: str) -> str:
    """A button of the newest card; what is shown over the chat."""
    callback = api.bot.press(chat, card(api, chat).message_id, text_contains=button)
    api.poll()
    shown = api.bot.wait_for_callback_answer(callback, timeout=30)
    api.deliver()
    return shown


def press_raw(api: Api, chat: int, data: str) -> str:
    """A client that claims to have pressed a button."""
    message = api.bot.messages(chat)[-1]
    callback = api.bot.press_raw(chat, message.message_id, data)
    api.poll()
    shown = api.bot.wait_for_callback_answer(callback, timeout=30)
    api.deliver()
    return shown


def labels(message: Message) -> list[str]:
    return [button["text"] for button in message.buttons]


def only(api: Api) -> Broadcast:
    (row,) = rows(api.app, Broadcast)
    assert isinstance(row, Broadcast)
    return row


class TestCommand:
    def test_alone_it_explains_itself(self, api: Api, chat: int) -> None:
        (answer,) = say(api, chat, "/broadcast")
        assert "/broadcast" in answer.text
        assert answer.buttons == []
        assert count(api.app, Broadcast) == 0

    def test_a_text_is_a_draft_with_its_audience_and_buttons(self, api: Api, chat: int) -> None:
        make_users(api.app, 4)
        (answer,) = say(api, chat, "/broadcast 1 < 2 & <b>so</b>\nsecond line")
        assert only(api).texts == {"en": "1 &lt; 2 &amp; &lt;b&gt;so&lt;/b&gt;\nsecond line"}
        assert (only(api).state, only(api).audience) == (State.DRAFT, Audience.ALL)
        assert "1 < 2 & <b>so</b>\nsecond line" in answer.text
        assert "Audience: 5" in answer.text
        assert labels(answer) == [
            *("✅ Everyone", "Active subscribers"),
            *("Subscription ends within 7 days", "Subscription has ended"),
            *("Test to me", "Start sending", "Cancel the broadcast"),
        ]
        assert messages(api.app, only(api).id) == []

    @pytest.mark.parametrize("role", [Role.USER, Role.SUPPORT])
    def test_others_have_no_such_command(self, api: Api, role: Role) -> None:
        chat = new_chat()
        make_user(api.app, role=role, telegram_id=chat, verified=True)
        api.bot.add_person(chat, language_code="en")
        (answer,) = say(api, chat, "/broadcast hello")
        assert "hello" not in answer.text
        assert count(api.app, Broadcast) == 0

    def test_a_listed_admin_needs_no_account(self, api: Api) -> None:
        api.bot.open_chat(ADMIN)
        say(api, ADMIN, "/broadcast from the list")
        assert only(api).created_by == f"telegram:{ADMIN}"

    def test_the_longest_text_still_gets_its_buttons(self, api: Api, chat: int) -> None:
        text = "&" * 4000
        (answer,) = say(api, chat, f"/broadcast {text}")
        assert "Start sending" in labels(answer)
        assert "…" in answer.text
        press(api, chat, "Test to me")
        assert api.bot.messages(chat)[-1].text == text


class TestButtons:
    def test_from_the_draft_to_the_end(self, api: Api, chat: int) -> None:
        users = make_users(api.app, 3)
        say(api, chat, "/broadcast news")
        assert press(api, chat, "Subscription has ended") == "Done."
        assert "✅ Subscription has ended" in labels(card(api, chat))
        assert "Audience: 0" in card(api, chat).text
        press(api, chat, "Everyone")
        assert "Audience: 4" in card(api, chat).text

        assert press(api, chat, "Test to me") == "Sent to you."
        assert api.bot.messages(chat)[-1].text == "news"

        assert press(api, chat, "Start sending") == "Send this to the whole audience?"
        assert labels(card(api, chat)) == ["Yes, send it (audience: 4)", "Not yet"]
        assert messages(api.app, only(api).id) == []
        press(api, chat, "Not yet")
        assert "Start sending" in labels(card(api, chat))
        press(api, chat, "Start sending")
        assert press(api, chat, "Yes") == "Done."
        assert labels(card(api, chat)) == ["Pause", "Refresh", "Cancel the broadcast"]
        press(api, chat, "Pause")
        assert labels(card(api, chat)) == ["Resume", "Refresh", "Cancel the broadcast"]
        assert "Paused" in card(api, chat).text
        press(api, chat, "Resume")
        api.deliver()
        feed(api.app)  # finds that all has left
        api.deliver()
        done = [m for m in api.bot.messages(chat) if "Finished" in m.text]
        assert len(done) == 1
        assert done[0].buttons == []
        assert "Delivered: 4" in done[0].text
        told = [m.user_id for m in messages(api.app, only(api).id)]
        assert set(users) < set(told)
        assert len(told) == 4

    def test_cancel_ends_it_on_the_cards_of_all_admins(self, api: Api, chat: int) -> None:
        say(api, chat, "/broadcast news")
        other = new_chat()
        make_user(api.app, role=Role.ADMIN, telegram_id=other, verified=True)
        api.bot.add_person(other, language_code="en")
        api.bot.send_text(other, "hello")
        press_raw(api, other, f"bc:refresh:{only(api).id.hex}")
        press(api, chat, "Cancel the broadcast")
        assert labels(card(api, chat)) == ["Yes, cancel it for good", "Back"]
        press(api, chat, "Yes")
        assert report(api.app, only(api).id).state is State.CANCELLED
        for admin in (chat, other):
            (shown,) = [m for m in api.bot.messages(admin) if "news" in m.text and m.from_bot]
            assert "Cancelled" in shown.text
            assert shown.buttons == []

    def test_a_button_of_the_past_says_what_is_now(self, api: Api, chat: int) -> None:
        say(api, chat, "/broadcast news")
        broadcast_id = only(api).id
        press(api, chat, "Start sending")
        press(api, chat, "Yes")
        for word in ("start", "all", "resume"):
            shown = press_raw(api, chat, f"bc:{word}:{broadcast_id.hex}")
            assert shown == (
                "This can't be done: the broadcast is running." if word != "all" else shown
            )
            assert "running" in shown
        actions = [action for _who, action in audited(api.app)]
        assert actions == ["broadcast.created", "broadcast.started"]

    def test_yes_is_for_the_audience_that_was_shown(self, api: Api, chat: int) -> None:
        say(api, chat, "/broadcast news")
        press(api, chat, "Start sending")
        with at_work(api.app):
            drafts.edit_broadcast(only(api).id, {"audience": Audience.EXPIRED}, BOSS)
        assert press(api, chat, "Yes") == "Send this to the whole audience?"
        assert only(api).state is State.DRAFT
        assert labels(card(api, chat))[0] == "Yes, send it (audience: 0)"
        press(api, chat, "Yes")
        assert only(api).state is State.RUNNING

    def test_an_old_start_asks_nothing_once_it_runs(self, api: Api, chat: int) -> None:
        say(api, chat, "/broadcast news")
        with at_work(api.app):
            sending.start(only(api).id, BOSS)
        shown = press(api, chat, "Start sending")
        assert shown == "This can't be done: the broadcast is running."

    def test_an_admin_without_the_card_gets_one(self, api: Api, chat: int) -> None:
        broadcast_id = start(api.app)
        api.bot.send_text(chat, "hello")
        assert press_raw(api, chat, f"bc:pause:{broadcast_id.hex}") == "Done."
        assert labels(card(api, chat)) == ["Resume", "Refresh", "Cancel the broadcast"]

    @pytest.mark.parametrize("word", ["test", "start", "cancel", "all", "refresh"])
    @pytest.mark.parametrize("role", [None, Role.USER, Role.SUPPORT])
    def test_others_may_not_press(self, api: Api, word: str, role: Role | None) -> None:
        broadcast_id = write(api.app, audience=Audience.ACTIVE)
        chat = new_chat()
        if role is not None:
            make_user(api.app, role=role, telegram_id=chat, verified=True)
        api.bot.add_person(chat, language_code="en")
        api.bot.send_text(chat, "hello")
        assert press_raw(api, chat, f"bc:{word}:{broadcast_id.hex}") == "You may not do this."
        found = report(api.app, broadcast_id)
        assert (found.state, found.audience) == (State.DRAFT, Audience.ACTIVE)
        assert len(audited(api.app)) == 1

    def test_a_claimed_id_gives_nothing(self, api: Api) -> None:
        chat = new_chat()
        make_user(api.app, role=Role.ADMIN, telegram_id=chat)
        api.bot.send_text(chat, "hello", language_code="en")
        data = f"bc:start:{write(api.app).hex}"
        assert press_raw(api, chat, data) == "You may not do this."

    @pytest.mark.parametrize(
        "data", ["bc", "bc:", "bc:start", "bc:start:", "bc:start:x", f"bc:start:{0:032x}"]
    )
    def test_garbage_is_no_broadcast(self, api: Api, chat: int, data: str) -> None:
        api.bot.send_text(chat, "hello")
        assert press_raw(api, chat, data) == "There is no such broadcast."

    def test_an_unknown_word_does_nothing(self, api: Api, chat: int) -> None:
        broadcast_id = write(api.app)
        api.bot.send_text(chat, "hello")
        shown = press_raw(api, chat, f"bc:explode:{broadcast_id.hex}")
        assert shown == "This button does nothing any more."
