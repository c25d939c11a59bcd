"""A Telegram without a past, and apps that talk to it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from werkzeug.serving import make_server

from manga_backend.kit.app import App
from tests.conftest import Deployment
from tests.standins.telegram import BotApiStandIn
from tests.support import ADMIN_IDS, LOG_CHANNEL
from tests.variants import variant

Variants = Callable[..., Any]


@pytest.fixture
def telegram() -> Iterator[BotApiStandIn]:
    """Everybody may be written to."""
    with BotApiStandIn(open_chats=True) as stand_in:
        for chat in ADMIN_IDS:
            stand_in.add_person(chat, language_code="en")
        stand_in.add_group(LOG_CHANNEL, "Log", "channel")
        yield stand_in


@contextmanager
def talking(deployment: Deployment, telegram: BotApiStandIn, **changes: str) -> Iterator[App]:
    """An app whose bot lives on this Telegram."""
    own = {"TELEGRAM_API_URL": telegram.url, "TELEGRAM_BOT_TOKEN": telegram.token}
    with variant(deployment.settings, **{**own, **changes}) as app:
        yield app


@contextmanager
def served(app: App, port: int = 0) -> Iterator[str]:
    """The app on a real port; yields its address."""
    server = make_server("127.0.0.1", port, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def eventually(true: Callable[[], bool], seconds: float = 30) -> None:
    """Wait until it is so."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.02)


def readiness(app: App) -> dict[str, Any]:
    """What /health/ready says of the bot."""
    found: dict[str, Any] = app.test_client().get("/health/ready").get_json()["checks"]["telegram"]
    return found
