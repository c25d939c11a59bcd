"""What the tests of the Bot API stand-in share: ids, raw calls, and ways to wait."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import requests

from tests.standins.telegram import BotApiStandIn

TOKEN = "1000:stand-in"
USER, OTHER, CHANNEL = 700001, 700002, -1001234


def call(stand_in: BotApiStandIn, method: str, **params: Any) -> Any:
    return requests.post(f"{stand_in.url}/bot{TOKEN}/{method}", json=params, timeout=10)


def error(stand_in: BotApiStandIn, method: str, **params: Any) -> tuple[int, str]:
    body = call(stand_in, method, **params).json()
    assert body["ok"] is False
    return body["error_code"], body["description"]


def wait_until(ready: Callable[[], bool], timeout: float = 30) -> None:
    deadline = time.monotonic() + timeout
    while not ready():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


def in_background(function: Callable[[], Any]) -> Future[Any]:
    pool = ThreadPoolExecutor(1)
    future = pool.submit(function)
    pool.shutdown(wait=False)
    return future
