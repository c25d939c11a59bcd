"""The proxies, through requests and by hand."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
import requests

from tests.standins.proxies import HttpProxy, Socks5Proxy
from tests.standins.telegram import BotApiStandIn
from tests.standins.telegram_client import TOKEN

NAME = "api.telegram.test"


@pytest.fixture(scope="module")
def stand_in() -> Iterator[BotApiStandIn]:
    with BotApiStandIn(TOKEN, open_chats=True) as running:
        yield running


def port_of(url: str) -> int:
    return urlsplit(url).port or 0


def ask(url: str, proxy: str) -> requests.Response:
    with requests.Session() as used:
        used.trust_env = False
        address, fields = f"{url}/bot{TOKEN}/sendMessage", {"chat_id": "700001", "text": "آ"}
        return used.post(address, data=fields, proxies={"http": proxy}, timeout=5)


class TestHttpProxy:
    def test_forwards(self, stand_in: BotApiStandIn) -> None:
        with HttpProxy() as proxy:
            for _ in range(2):
                assert ask(stand_in.url, proxy.url).json()["result"]["text"] == "آ"
            assert proxy.connections == [("127.0.0.1", port_of(stand_in.url))] * 2

    def test_keeps_a_session_going(self, stand_in: BotApiStandIn) -> None:
        with HttpProxy() as proxy, requests.Session() as session:
            session.trust_env = False
            for _ in range(3):
                url = f"{stand_in.url}/bot{TOKEN}/getMe"
                answer = session.get(url, proxies={"http": proxy.url}, timeout=5)
                assert answer.json()["ok"]

    def test_names(self, stand_in: BotApiStandIn) -> None:
        with HttpProxy(hosts={NAME: ("127.0.0.1", port_of(stand_in.url))}) as proxy:
            assert ask(f"http://{NAME}", proxy.url).json()["ok"]
            assert proxy.connections == [(NAME, 80)]

    def test_credentials(self, stand_in: BotApiStandIn) -> None:
        with HttpProxy("sara", "s3cret") as proxy:
            assert proxy.url.startswith("http://sara:s3cret@127.0.0.1:")
            assert ask(stand_in.url, proxy.url).json()["ok"]
            for wrong in (proxy.url.replace("s3cret", "x"), proxy.url.replace("sara:s3cret@", "")):
                assert ask(stand_in.url, wrong).status_code == 407
            assert (len(proxy.connections), proxy.refused) == (1, 2)

    def test_connect(self, stand_in: BotApiStandIn) -> None:
        target = f"127.0.0.1:{port_of(stand_in.url)}"
        with (
            HttpProxy() as proxy,
            socket.create_connection(("127.0.0.1", port_of(proxy.url)), 5) as tunnel,
        ):
            tunnel.sendall(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n".encode())
            assert tunnel.recv(1000).startswith(b"HTTP/1.1 200 ")
            tunnel.sendall(f"GET /bot{TOKEN}/getMe HTTP/1.1\r\nHost: {target}\r\n\r\n".encode())
            assert b'"is_bot"' in tunnel.recv(10_000)

    def test_a_target_that_is_away(self) -> None:
        with HttpProxy() as proxy, socket.socket() as closed:
            closed.bind(("127.0.0.1", 0))  # bound, but it does not listen
            assert ask(f"http://127.0.0.1:{closed.getsockname()[1]}", proxy.url).status_code == 502


class TestSocks5Proxy:
    def test_carries(self, stand_in: BotApiStandIn) -> None:
        with Socks5Proxy() as proxy:
            assert ask(stand_in.url, proxy.url).json()["result"]["text"] == "آ"
            assert proxy.connections == [("127.0.0.1", port_of(stand_in.url))]

    def test_names(self, stand_in: BotApiStandIn) -> None:
        with Socks5Proxy(hosts={NAME: ("127.0.0.1", port_of(stand_in.url))}) as proxy:
            assert ask(f"http://{NAME}", proxy.url.replace("socks5:", "socks5h:")).json()["ok"]
            assert proxy.connections == [(NAME, 80)]

    def test_credentials(self, stand_in: BotApiStandIn) -> None:
        with Socks5Proxy("sara", "s3cret") as proxy:
            assert proxy.url.startswith("socks5://sara:s3cret@127.0.0.1:")
            assert ask(stand_in.url, proxy.url).json()["ok"]
            for wrong in (proxy.url.replace("s3cret", "x"), proxy.url.replace("sara:s3cret@", "")):
                with pytest.raises(requests.ConnectionError):
                    ask(stand_in.url, wrong)
            assert (len(proxy.connections), proxy.refused) == (1, 2)

    def test_a_target_that_is_away(self) -> None:
        with Socks5Proxy() as proxy, socket.socket() as closed:
            closed.bind(("127.0.0.1", 0))
            with pytest.raises(requests.ConnectionError):
                ask(f"http://127.0.0.1:{closed.getsockname()[1]}", proxy.url)
