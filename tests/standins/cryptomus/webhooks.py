"""Sends webhooks: once, several times, or several times at the same moment."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

Deliver = Callable[[str, bytes], int]
HEADERS = {"Content-Type": "application/json", "Accept": "*/*"}
WAIT_SECONDS = 30


@dataclass(frozen=True, slots=True)
class Webhook:
    """One that was sent; `status` is 0 when there was no answer."""

    url: str
    body: bytes
    status: int


def post(url: str, body: bytes) -> int:
    """The HTTP status of the answer; 0 for none. Asks no proxy."""
    parts = urlsplit(url)
    secure = parts.scheme == "https"
    opener = http.client.HTTPSConnection if secure else http.client.HTTPConnection
    connection = opener(parts.hostname or "", parts.port, timeout=WAIT_SECONDS)
    target = f"{parts.path or '/'}{'?' if parts.query else ''}{parts.query}"
    try:
        connection.request("POST", target, body, HEADERS)
        response = connection.getresponse()
        response.read()
        return response.status
    except (OSError, http.client.HTTPException):
        return 0
    finally:
        connection.close()


class Courier:
    """Cryptomus' attempts after a failure aren't documented; this one never tries again."""

    def __init__(self, deliver: Deliver | None = None) -> None:
        self._deliver = deliver or post
        self._guard = threading.Lock()
        self._threads: list[threading.Thread] = []
        self.sent: list[Webhook] = []

    def send(self, url: str, body: bytes, *, times: int = 1, at_once: bool = False) -> list[int]:
        if not at_once:
            return [self._send_one(url, body) for _ in range(times)]
        statuses = [0] * times
        start = threading.Barrier(times)

        def run(place: int) -> None:
            start.wait()
            statuses[place] = self._send_one(url, body)

        threads = [threading.Thread(target=run, args=(place,)) for place in range(times)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return statuses

    def send_later(self, url: str, body: bytes) -> None:
        """From a thread of its own: who asked for it may be the one who has to answer it."""
        thread = threading.Thread(target=self._send_one, args=(url, body), daemon=True)
        with self._guard:
            self._threads.append(thread)
        thread.start()

    def wait(self, timeout: float) -> bool:
        """Until all that was to be sent later has been; False when it takes too long."""
        with self._guard:
            threads, self._threads = self._threads, []
        for thread in threads:
            thread.join(timeout)
        return not any(thread.is_alive() for thread in threads)

    def _send_one(self, url: str, body: bytes) -> int:
        status = self._deliver(url, body)
        with self._guard:
            self.sent.append(Webhook(url, body, status))
        return status
