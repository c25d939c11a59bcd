"""Readers who go on asking and paying while something happens to the server."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import requests
from requests.adapters import HTTPAdapter

from tests.support import PASSWORD, new_hash

PENDING_AT_ONCE = 3
MOST_REQUESTS = 20_000


@dataclass
class Load:
    """What came of it. `failed`: no answer, or one that is the server's fault."""

    answered: int = 0
    slowest_seconds: float = 0.0
    failed: list[str] = field(default_factory=list)
    acknowledged: list[str] = field(default_factory=list)
    """Transaction hashes that somebody was told are taken (202)."""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, answer: requests.Response | None, what: str, tx_hash: str = "") -> None:
        with self.lock:
            self.answered += answer is not None
            if answer is not None:
                took = answer.elapsed.total_seconds()
                self.slowest_seconds = max(self.slowest_seconds, took)
            if answer is None or answer.status_code >= 500:
                self.failed.append(what if answer is None else f"{what}: {answer.status_code}")
            elif answer.status_code == 202:
                self.acknowledged.append(tx_hash)


class From(HTTPAdapter):
    """Connections from one of this machine's own addresses."""

    def __init__(self, address: str) -> None:
        self._address = address
        super().__init__()

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs, source_address=(self._address, 0))  # type: ignore[no-untyped-call]


@contextmanager
def load(
    url: str, session: Callable[[], requests.Session], readers: int, first_id: int
) -> Iterator[Load]:
    """As long as the block lasts: each reader keeps a connection, asks for the status and sends
    hashes, as a new account once three wait."""
    found, stop = Load(), threading.Event()

    def live(number: int) -> None:
        with session() as client:
            # An address of its own, as readers have: limits count by it.
            client.mount(url, From(f"127.0.1.{number + 1}"))

            def call(method: str, path: str, token: str = "", body: Any = None) -> Any:
                headers = {"Authorization": f"Bearer {token}"} if token else {}
                try:
                    answer = client.request(
                        method, url + path, json=body, headers=headers, timeout=60
                    )
                except requests.RequestException as error:
                    found.note(None, f"{method} {path}: {type(error).__name__}")
                    return {}
                found.note(answer, f"{method} {path}", (body or {}).get("tx_hash", ""))
                return answer.json()

            telegram_id = first_id + number * 10_000
            while not stop.is_set() and found.answered < MOST_REQUESTS:
                telegram_id += 1
                name = {"username": f"u{telegram_id}", "password": PASSWORD}
                call("POST", "/auth/register", body={**name, "telegram_id": telegram_id})
                token = call("POST", "/auth/login", body=name).get("access_token", "")
                for _ in range(PENDING_AT_ONCE if token else 0):
                    call("POST", "/payment/submit", token, {"tx_hash": new_hash()})
                    for _ in range(5):
                        if stop.is_set():
                            return
                        call("GET", "/api/user/status", token)

    threads = [threading.Thread(target=live, args=(number,)) for number in range(readers)]
    for thread in threads:
        thread.start()
    try:
        yield found
    finally:
        stop.set()
        for thread in threads:
            thread.join(30)
