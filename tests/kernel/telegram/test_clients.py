"""The Bot API's errors become ours; calls go through a proxy when one is set."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

import pytest

from manga_backend.kernel.telegram import clients
from manga_backend.kernel.telegram.clients import BotClient
from manga_backend.kernel.telegram.errors import (
    RecipientUnreachable,
    TelegramAway,
    TelegramError,
    TelegramRefused,
)
from manga_backend.kernel.telegram.settings import TelegramSettings
from manga_backend.kernel.telegram.types import Reachability
from manga_backend.kit.app import App
from tests.kernel.factories import new_chat
from tests.standins.proxies import HttpProxy, Socks5Proxy
from tests.standins.telegram import BotApiStandIn


def client_of(pg_app: App, telegram: BotApiStandIn, **changes: Any) -> BotClient:
    config: TelegramSettings = pg_app.extensions["settings"][TelegramSettings]
    return BotClient(replace(config, api_url=telegram.url, token=telegram.token, **changes))


@pytest.fixture
def client(pg_app: App, telegram: BotApiStandIn) -> BotClient:
    return client_of(pg_app, telegram)


class TestErrors:
    @pytest.mark.parametrize(
        ("status", "description", "state"),
        [
            (403, "Forbidden: bot was blocked by the user", Reachability.BLOCKED),
            (403, "Forbidden: user is deactivated", Reachability.DEACTIVATED),
            (403, "Forbidden: bot can't initiate conversation with a user", "needs_start"),
            (400, "Bad Request: chat not found", Reachability.NEEDS_START),
            (403, "Forbidden: bot was kicked from the group chat", Reachability.BLOCKED),
        ],
    )
    def test_say_whether_a_chat_can_be_written_to(
        self,
        telegram: BotApiStandIn,
        client: BotClient,
        status: int,
        description: str,
        state: Reachability,
    ) -> None:
        telegram.fail_next("sendMessage", status=status, description=description)
        with pytest.raises(RecipientUnreachable) as raised:
            client.send_message(new_chat(), "x", None)
        assert raised.value.reachability == state

    def test_another_400_is_no_word_on_the_chat(
        self, telegram: BotApiStandIn, client: BotClient
    ) -> None:
        telegram.fail_next("sendMessage", status=400, description="Bad Request: can't parse")
        with pytest.raises(TelegramRefused):
            client.send_message(new_chat(), "x", None)

    def test_tell_a_time_out_from_a_refusal(
        self, pg_app: App, telegram: BotApiStandIn, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        telegram.fail_next("getMe", status=500, delay=10)
        with monkeypatch.context() as patience:
            patience.setattr(clients, "CALL_SECONDS", 0.2)
            with pytest.raises(TelegramAway, match="timed out"):
                client_of(pg_app, telegram).get_me()
        nobody = client_of(pg_app, telegram)
        nobody.address = "http://127.0.0.1:9"
        with pytest.raises(TelegramAway, match="refused"):
            nobody.get_me()


class TestText:
    def test_of_4096_persian_letters_arrives_whole(
        self, telegram: BotApiStandIn, client: BotClient
    ) -> None:
        chat = new_chat()
        telegram.open_chat(chat)
        client.send_message(chat, "ش" * 4096, None)
        assert telegram.messages(chat)[-1].text == "ش" * 4096


class TestProxy:
    @pytest.mark.parametrize("kind", [HttpProxy, Socks5Proxy])
    @pytest.mark.parametrize("login", [(), ("reader", "p@ss:word")], ids=["open", "login"])
    def test_every_call_goes_through_it(
        self, pg_app: App, telegram: BotApiStandIn, kind: Any, login: tuple[str, ...]
    ) -> None:
        with kind(*login) as proxy:
            address = proxy.url.replace("p@ss:word", "p%40ss%3Aword")
            through = client_of(pg_app, telegram, proxy=address.replace("socks5:", "socks5h:"))
            chat = new_chat()
            telegram.open_chat(chat)
            through.send_message(chat, "سلام", None)
            assert proxy.connections
        assert telegram.messages(chat)[-1].text == "سلام"

    def test_names_are_looked_up_by_socks(self, pg_app: App, telegram: BotApiStandIn) -> None:
        host, port = "127.0.0.1", int(telegram.url.rpartition(":")[2])
        with Socks5Proxy(hosts={"filtered.example": (host, port)}) as proxy:
            through = client_of(pg_app, telegram, proxy=proxy.url.replace("socks5:", "socks5h:"))
            through.address = f"http://filtered.example:{port}"
            assert through.get_me()["is_bot"] is True
            assert proxy.connections == [("filtered.example", port)]

    @pytest.mark.parametrize("kind", [HttpProxy, Socks5Proxy])
    def test_its_password_is_never_told(
        self, pg_app: App, telegram: BotApiStandIn, kind: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG)
        with kind("reader", "right-password") as proxy:
            wrong = proxy.url.replace("right", "wrong").replace("socks5:", "socks5h:")
            with pytest.raises(TelegramError) as raised:
                client_of(pg_app, telegram, proxy=wrong).get_me()
        assert "password" not in raised.value.description + caplog.text

    def test_one_that_is_not_there_is_named_as_the_fault(
        self, pg_app: App, telegram: BotApiStandIn
    ) -> None:
        with pytest.raises(TelegramAway, match="proxy"):
            client_of(pg_app, telegram, proxy="http://127.0.0.1:9").get_me()
