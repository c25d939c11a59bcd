"""/start, /help, /language, /admin, /users and /system, as people type them."""

from __future__ import annotations

from datetime import timedelta

import pytest

from manga_backend.kernel.identity.models import User
from manga_backend.kernel.identity.types import Role
from manga_backend.kernel.operations.service.health import checks
from manga_backend.kernel.operations.types import Check
from manga_backend.kernel.telegram.service.chats import note_reachability
from manga_backend.kernel.telegram.types import Reachability
from manga_backend.kit import clock
from tests.conftest import Deployment
from tests.kernel.factories import at_work, get_user, make_user, new_chat
from tests.standins.telegram import BotApiStandIn, Message
from tests.support import ADMIN_IDS, Api, counted_queries
from tests.variants import variant_api


def said(api: Api, sender: int, text: str, language: str = "en") -> Message:
    """What the bot answers."""
    before = max((m.message_id for m in api.bot.messages(sender)), default=0)
    api.bot.send_text(sender, text, language_code=language)
    api.poll()
    api.deliver()
    return api.bot.wait_for_message(sender, timeout=5, after_message_id=before)


def buttons(message: Message) -> list[str]:
    rows = (message.reply_markup or {}).get("inline_keyboard", [])
    return [button["text"] for row in rows for button in row]


class TestStart:
    def test_leads_to_the_site(self, deployment: Deployment, bot: BotApiStandIn) -> None:
        with variant_api(deployment, bot, WEB_APP_URL="https://manga.example/") as api:
            assert buttons(said(api, new_chat(), "/start")) == ["Open the site"]


class TestHelp:
    def test_lists_what_everybody_may_use(self, api: Api) -> None:
        text = said(api, new_chat(), "/help").text
        for name in ("start", "help", "language"):
            assert f"/{name} — " in text
        for name in ("admin", "users", "system"):
            assert f"/{name} — " not in text

    def test_lists_more_for_staff(self, api: Api) -> None:
        text = said(api, ADMIN_IDS[0], "/help").text
        assert "/help — What this bot can do" in text
        assert "/users — " in text
        assert "/system — " in text

    def test_lists_only_what_a_role_may_use(self, api: Api) -> None:
        chat = new_chat()
        make_user(api.app, telegram_id=chat, verified=True, role=Role.SUPPORT)
        assert "/users — " in said(api, chat, "/help").text

    @pytest.mark.parametrize("text", ["/nonsense", "/users", "/admin", "/system"])
    def test_is_the_answer_to_what_a_stranger_may_not_use(self, api: Api, text: str) -> None:
        assert "Commands of this bot" in said(api, new_chat(), text).text

    def test_a_claimed_id_gives_no_right(self, api: Api) -> None:
        chat = new_chat()
        make_user(api.app, telegram_id=chat, role=Role.ADMIN)
        assert "Commands of this bot" in said(api, chat, "/users").text

    def test_a_banned_admin_has_none(self, api: Api) -> None:
        make_user(api.app, telegram_id=ADMIN_IDS[0], verified=True, banned_at=clock.now())
        assert "Commands of this bot" in said(api, ADMIN_IDS[0], "/users").text


class TestLanguage:
    def test_offers_five_in_their_own_words(self, api: Api) -> None:
        chat = new_chat()
        make_user(api.app, telegram_id=chat, verified=True)
        found = buttons(said(api, chat, "/language"))
        assert found == ["فارسی", "English", "Русский", "Oʻzbekcha", "العربية"]

    def test_a_press_keeps_it_in_the_account(self, api: Api) -> None:
        chat = new_chat()
        user = make_user(api.app, telegram_id=chat, verified=True)
        message = said(api, chat, "/language")
        for _ in range(2):
            callback = api.bot.press(chat, message.message_id, text_contains="Русский")
            api.poll()
            assert "Русский" in api.bot.wait_for_callback_answer(callback, timeout=30)
        assert get_user(api.app, user).language == "ru"
        assert said(api, chat, "/start").text.startswith("Здравствуйте")

    @pytest.mark.parametrize("data", ["lang:xx", "lang:", "lang"])
    def test_a_made_up_press_changes_nothing(self, api: Api, data: str) -> None:
        chat = new_chat()
        user = make_user(api.app, telegram_id=chat, verified=True, language="uz")
        message = said(api, chat, "/language")
        api.bot.press_raw(chat, message.message_id, data)
        api.poll()
        assert get_user(api.app, user).language == "uz"

    def test_a_stranger_is_told_to_link_first(self, api: Api) -> None:
        chat = new_chat()
        make_user(api.app, telegram_id=chat)  # a claim is no account of this chat
        message = said(api, chat, "/language")
        assert "not linked" in message.text
        callback = api.bot.press_raw(chat, message.message_id, "lang:ru")
        api.poll()
        assert "not linked" in api.bot.wait_for_callback_answer(callback, timeout=30)


class TestAdmin:
    def test_tells_of_staff_commands_and_the_panel(self, api: Api) -> None:
        text = said(api, ADMIN_IDS[0], "/admin").text
        assert "/users — " in text
        assert "/start — " not in text
        assert "/admin/" in text


class TestUsers:
    def test_counts_and_names_the_newest(self, api: Api) -> None:
        now = clock.now()
        for number in range(6):
            user = make_user(api.app, verified=number < 2, banned_at=now if number < 1 else None)
            with at_work(api.app) as current:
                row = current.get_one(User, user)
                row.created_at = now + timedelta(seconds=number)
                row.username = row.username_key = f"person_{number}"
        text = said(api, ADMIN_IDS[0], "/users").text
        assert "All: 6" in text
        assert "Linked with Telegram: 2" in text
        assert "Banned users: 1" in text
        names = [line for line in text.splitlines() if "person_" in line]
        assert [f"person_{n}" in line for n, line in zip((5, 4, 3, 2, 1), names, strict=True)] == [
            True
        ] * 5

    def test_with_a_name_tells_of_one(self, api: Api) -> None:
        chat = new_chat()
        user = make_user(api.app, telegram_id=chat, verified=True, ban_reason="spam")
        with at_work(api.app):
            note_reachability(chat, Reachability.BLOCKED)
        text = said(api, ADMIN_IDS[0], f"/users @{get_user(api.app, user).label.upper()}").text
        assert f"{chat} (verified)" in text
        assert "Telegram: blocked the bot" in text
        assert "Role: User" in text
        assert "Banned: no" in text

    def test_a_name_that_nobody_has(self, api: Api) -> None:
        assert said(api, ADMIN_IDS[0], "/users nobody").text == "There is no such user."

    def test_asks_as_much_for_many_as_for_few(self, api: Api) -> None:
        def asked() -> int:
            api.bot.send_text(ADMIN_IDS[0], "/users")
            with counted_queries(api.app) as seen:
                api.poll()
            return len(seen)

        make_user(api.app)
        asked()
        few = asked()
        for _ in range(8):
            make_user(api.app)
        assert asked() == few


class TestSystem:
    def test_tells_each_check(self, api: Api) -> None:
        text = said(api, ADMIN_IDS[0], "/system").text
        assert "✅" in text
        assert "Database: \N{LEFT-TO-RIGHT ISOLATE}answers" in text
        assert "Telegram: " in text

    def test_says_what_is_wrong(self, api: Api) -> None:
        def fail() -> Check:
            return Check(False, "is on fire")

        checks.register(api.app, "kitchen", fail)
        try:
            assert "❌" in (text := said(api, ADMIN_IDS[0], "/system").text)
            assert "kitchen: \N{LEFT-TO-RIGHT ISOLATE}is on fire" in text
        finally:
            del api.app.extensions[checks._slot]["kitchen"]
