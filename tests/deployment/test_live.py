"""The process of long connections: many listeners hear of a change, and of what they missed."""

from __future__ import annotations

import json
import resource
import selectors
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
import requests

from manga_backend.app import create_app
from tests.deployment.processes import Live, Process, Web, eventually
from tests.products.urgent.factories import ORDER, init_data
from tests.standins.telegram import BotApiStandIn
from tests.support import Api

Start = Callable[[type[Process], dict[str, str]], Any]


@dataclass
class Listener:
    """One open connection, and what came through it."""

    connection: socket.socket
    received: bytes = b""
    events: list[dict[str, str]] = field(default_factory=list)
    is_open: bool = True

    def read(self) -> None:
        found = self.connection.recv(65536)
        self.is_open = bool(found)
        self.received += found
        *whole, self.received = self.received.replace(b"\r\n", b"\n").split(b"\n\n")
        for block in whole:
            lines = [line.split(": ", 1) for line in block.decode().split("\n") if ": " in line]
            fields = {line[0]: line[1] for line in lines}
            if "event" in fields:
                self.events.append(fields)

    def orders(self) -> list[str]:
        return [json.loads(e["data"])["id"] for e in self.events if e["event"] == "order"]


class Crowd:
    """Listeners that are read in one loop."""

    def __init__(self, live: Live) -> None:
        self._live = live
        self._selector = selectors.DefaultSelector()
        self.listeners: list[Listener] = []

    def join(self, last_event_id: str | None = None) -> Listener:
        connection = socket.create_connection(("127.0.0.1", self._live.port), timeout=10)
        header = f"Last-Event-ID: {last_event_id}\r\n" if last_event_id else ""
        ask = f"GET /api/orders/events HTTP/1.1\r\nHost: localhost\r\n{header}\r\n"
        connection.sendall(ask.encode())
        listener = Listener(connection)
        self._selector.register(connection, selectors.EVENT_READ, listener)
        self.listeners.append(listener)
        return listener

    def wait(self, done: Callable[[Listener], bool], within: float = 10.0) -> float:
        """Read until it is true of every listener; the seconds that took."""
        begun = time.monotonic()
        while not all(map(done, self.listeners)):
            assert time.monotonic() - begun < within, "not everybody heard of it"
            for key, _ in self._selector.select(0.2):
                key.data.read()
                if not key.data.is_open:
                    self._selector.unregister(key.fileobj)
        return time.monotonic() - begun

    def close(self) -> None:
        for listener in self.listeners:
            listener.connection.close()
        self._selector.close()


@contextmanager
def crowd(live: Live, count: int) -> Iterator[Crowd]:
    """So many, each of whom has been greeted."""
    found = Crowd(live)
    try:
        for _ in range(count):
            found.join()
        found.wait(lambda listener: bool(listener.events), within=30)
        yield found
    finally:
        found.close()


@pytest.fixture
def post(settings: dict[str, str], telegram: BotApiStandIn, start: Start) -> Callable[[], str]:
    """Post an order through the API; its id."""
    web: Web = start(Web, {**settings, "WEB_CONCURRENCY": "1"})
    api = Api(create_app(settings), telegram)

    def order() -> str:
        auth = {"Authorization": f"Bearer {init_data(api, 700_001)}"}
        answer = requests.post(f"{web.url}/api/orders", json=ORDER, headers=auth, timeout=10)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    return order


def hears(order: str) -> Callable[[Listener], bool]:
    return lambda listener: order in listener.orders()


def test_many_hear_of_a_change_and_of_what_they_missed(
    settings: dict[str, str], start: Start, post: Callable[[], str]
) -> None:
    live: Live = start(Live, settings)
    with crowd(live, 100) as found:
        order = post()
        found.wait(hears(order))
        last = found.listeners[0].events[-1]["id"]
    missed = post()
    assert live.stop() == 0
    live.start()
    again = Crowd(live)
    again.join(last_event_id=last)
    again.wait(hears(missed), within=30)
    again.close()


def test_it_serves_nothing_else_and_no_more_than_it_may(
    settings: dict[str, str], start: Start, post: Callable[[], str]
) -> None:
    live: Live = start(Live, {**settings, "LIVE_CONNECTIONS": "2"})
    for path in ("/api/orders", "/admin/", "/health/ready", "/openapi.json"):
        assert requests.get(live.url + path, timeout=30).status_code == 404
    with crowd(live, 2):
        later = requests.get(f"{live.url}/api/orders/events", timeout=30)
        assert (later.status_code, later.text) == (200, "retry: 10000\n\n")

    def is_let_in() -> bool:
        post()  # whoever hung up is noticed when something is written to it
        with requests.get(f"{live.url}/api/orders/events", timeout=10, stream=True) as answer:
            return b"hello" in next(answer.iter_content(1024))

    assert eventually(is_let_in, every=0.6)


@pytest.mark.soak
def test_a_thousand_listen(
    settings: dict[str, str],
    start: Start,
    post: Callable[[], str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, hard), hard))
    live: Live = start(Live, settings)
    try:
        with crowd(live, 1000) as found:
            took = []
            for _ in range(10):
                order = post()
                took.append(found.wait(hears(order)))
            with capsys.disabled():
                sys.stdout.write(f"\n1,000 listeners: all heard within {max(took):.2f} s\n")
            assert max(took) < 3
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
