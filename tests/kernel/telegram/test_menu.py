"""The command menus: who is offered what, in which language; sent again only when they change."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace

import pytest

from manga_backend.kernel.identity.types import Role
from manga_backend.kernel.telegram.clients import BotClient
from manga_backend.kernel.telegram.runner import Poller
from manga_backend.kernel.telegram.service.updates import commands
from manga_backend.kernel.telegram.settings import TelegramSettings
from manga_backend.kernel.telegram.types import BotCommand
from manga_backend.kit import clock
from manga_backend.kit.app import App
from manga_backend.kit.leader import Stop
from manga_backend.kit.settings import LANGUAGES
from tests.kernel.factories import make_user
from tests.standins.telegram import BotApiStandIn
from tests.support import ADMIN_IDS

EVERYBODYS = {"start", "help", "language"}
STAFFS = {"admin", "users", "system"}


def begin(app: App, telegram: BotApiStandIn) -> None:
    """A leader that starts and sends what has to be sent."""
    config: TelegramSettings = app.extensions["settings"][TelegramSettings]
    client = BotClient(replace(config, api_url=telegram.url, token=telegram.token))
    Poller(app, client, Stop())._send_menus()


def menu(telegram: BotApiStandIn, scope: dict[str, object], language: str = "") -> dict[str, str]:
    found = telegram.commands()[json.dumps([scope, language], sort_keys=True)]
    return {line["command"]: line["description"] for line in found}


PRIVATE: dict[str, object] = {"type": "all_private_chats"}


@pytest.fixture
def hello(app: App) -> Iterator[None]:
    """A command whose description is surely translated."""
    commands.register(app, "hello", BotCommand(lambda _: None, "Hello!"))
    yield
    del app.extensions[commands._slot]["hello"]


class TestMenus:
    def test_everybody_is_offered_the_common_commands(
        self, app: App, telegram: BotApiStandIn
    ) -> None:
        begin(app, telegram)
        for language in ("", *LANGUAGES):
            offered = set(menu(telegram, PRIVATE, language))
            assert offered >= EVERYBODYS
            assert not offered & STAFFS

    def test_each_language_has_its_own_words(
        self, app: App, telegram: BotApiStandIn, hello: None
    ) -> None:
        begin(app, telegram)
        assert menu(telegram, PRIVATE, "en")["hello"] == "Hello!"
        assert menu(telegram, PRIVATE, "") == menu(telegram, PRIVATE, "en")  # DEFAULT_LANGUAGE
        words = {menu(telegram, PRIVATE, language)["hello"] for language in LANGUAGES}
        assert len(words) == len(LANGUAGES)

    def test_an_admin_is_offered_more_in_the_language_of_the_profile(
        self, app: App, telegram: BotApiStandIn, hello: None
    ) -> None:
        make_user(app, telegram_id=ADMIN_IDS[0], verified=True, role=Role.ADMIN, language="ru")
        begin(app, telegram)
        own = menu(telegram, {"type": "chat", "chat_id": ADMIN_IDS[0]})
        assert set(own) >= EVERYBODYS | STAFFS
        assert own["hello"] == menu(telegram, PRIVATE, "ru")["hello"] != "Hello!"
        other = menu(telegram, {"type": "chat", "chat_id": ADMIN_IDS[1]})
        assert other["hello"] == "Hello!"


class TestSending:
    def test_the_same_menus_are_not_sent_again(self, app: App, telegram: BotApiStandIn) -> None:
        begin(app, telegram)
        sent = len(telegram.calls("setMyCommands"))
        assert sent == 1 + len(LANGUAGES) + len(ADMIN_IDS)
        begin(app, telegram)
        assert len(telegram.calls("setMyCommands")) == sent

    def test_changed_ones_are(self, app: App, telegram: BotApiStandIn) -> None:
        begin(app, telegram)
        make_user(app, telegram_id=ADMIN_IDS[0], verified=True, banned_at=clock.now())
        before = len(telegram.calls("setMyCommands"))
        begin(app, telegram)
        assert len(telegram.calls("setMyCommands")) > before
        own = menu(telegram, {"type": "chat", "chat_id": ADMIN_IDS[0]})
        assert not set(own) & STAFFS

    def test_an_admin_who_never_pressed_start_is_asked_at_the_next_start(
        self, app: App, telegram: BotApiStandIn
    ) -> None:
        last = 1 + len(LANGUAGES) + len(ADMIN_IDS)
        with BotApiStandIn() as strict:  # knows nobody
            strict.add_person(ADMIN_IDS[0])
            strict.open_chat(ADMIN_IDS[0])
            begin(app, strict)
            assert strict.calls("setMyCommands")[-1].status == 400
            begin(app, strict)
            assert len(strict.calls("setMyCommands")) == 2 * last
            strict.send_text(ADMIN_IDS[1], "/start")
            begin(app, strict)
            begin(app, strict)
            assert len(strict.calls("setMyCommands")) == 3 * last

    @pytest.mark.parametrize("status", [429, 500])
    def test_a_fault_keeps_nobody_from_reading_updates(
        self, app: App, telegram: BotApiStandIn, status: int
    ) -> None:
        telegram.fail_next("setMyCommands", status=status)
        begin(app, telegram)
        assert len(telegram.calls("setMyCommands")) == 1
        begin(app, telegram)
        assert set(menu(telegram, PRIVATE)) >= EVERYBODYS
