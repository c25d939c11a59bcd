"""`flask telegram doctor`: each fault is named, with what to do."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from datetime import timedelta

import pytest
from click.testing import Result

from manga_backend.kernel.telegram import cli
from manga_backend.kernel.telegram.clients import BotClient
from manga_backend.kernel.telegram.models import TelegramPoller
from manga_backend.kernel.telegram.settings import TelegramSettings
from manga_backend.kit import clock
from manga_backend.kit.app import App
from tests.conftest import Deployment
from tests.kernel.factories import at_work
from tests.kernel.telegram.conftest import eventually, talking
from tests.standins.proxies import HttpProxy
from tests.standins.telegram import BotApiStandIn
from tests.support import ADMIN_IDS, LOG_CHANNEL


def doctor(app: App) -> Result:
    """What it says."""
    return app.test_cli_runner().invoke(args=["telegram", "doctor"])


def faults(app: App) -> list[str]:
    found = doctor(app)
    lines = [line for line in found.output.splitlines() if line.startswith("FAULT")]
    assert found.exit_code == (1 if lines else 0), found.output
    return lines


def polled(app: App, ago: timedelta = timedelta(), problem: str | None = None) -> None:
    with at_work(app) as current:
        current.add(TelegramPoller(id=1, polled_at=clock.now() - ago, problem=problem))


@pytest.fixture
def here(
    on_sqlite: Deployment, telegram: BotApiStandIn, monkeypatch: pytest.MonkeyPatch
) -> Iterator[App]:
    """A deployment whose bot is in good order; nobody polls yet."""
    monkeypatch.setattr(cli, "LISTEN_SECONDS", 2)
    on_sqlite.reset()
    with talking(on_sqlite, telegram) as app:
        yield app


def client_of(app: App) -> BotClient:
    return BotClient(app.extensions["settings"][TelegramSettings])


class TestDoctor:
    def test_in_good_order(self, here: App, telegram: BotApiStandIn) -> None:
        polled(here)
        found = doctor(here)
        assert (found.exit_code, "FAULT" in found.output) == (0, False)
        assert "@two_manga_bot" in found.output
        assert telegram.url in found.output
        assert telegram.token not in found.output
        assert telegram.calls("getUpdates") == []  # our leader reads; it is left alone

    def test_no_token(self, on_sqlite: Deployment, telegram: BotApiStandIn) -> None:
        with talking(on_sqlite, telegram, TELEGRAM_BOT_TOKEN="") as app:
            assert ["@BotFather" in line for line in faults(app)] == [True]

    def test_a_refused_token(self, on_sqlite: Deployment, telegram: BotApiStandIn) -> None:
        with talking(on_sqlite, telegram, TELEGRAM_BOT_TOKEN="1000:wrong") as app:
            assert ["refused (401)" in line for line in faults(app)] == [True]

    def test_nobody_answers(self, on_sqlite: Deployment, telegram: BotApiStandIn) -> None:
        with talking(on_sqlite, telegram, TELEGRAM_API_URL="http://127.0.0.1:9") as app:
            (line,) = faults(app)
        assert "http://127.0.0.1:9" in line
        assert "refused" in line
        assert "is TELEGRAM_API_URL right" in line

    def test_the_proxy_does_not_answer(
        self, on_sqlite: Deployment, telegram: BotApiStandIn
    ) -> None:
        with talking(on_sqlite, telegram, TELEGRAM_PROXY="http://127.0.0.1:9") as app:
            (line,) = faults(app)
        assert "is TELEGRAM_PROXY right" in line

    def test_names_the_proxy_without_its_password(
        self, on_sqlite: Deployment, telegram: BotApiStandIn
    ) -> None:
        with (
            HttpProxy("reader", "secret-word") as proxy,
            talking(on_sqlite, telegram, TELEGRAM_PROXY=proxy.url) as app,
        ):
            output = doctor(app).output
        assert f"through {proxy.url.replace('reader:secret-word@', '')}" in output
        assert "secret-word" not in output

    def test_nobody_polls(self, here: App) -> None:
        assert ["nobody reads updates" in line for line in faults(here)] == [True]

    def test_our_leader_has_a_problem(self, here: App) -> None:
        polled(here, timedelta(minutes=5), "unreachable: timed out")
        assert ["timed out" in line for line in faults(here)] == [True]

    def test_another_program_polls_and_loses_nothing(
        self, here: App, telegram: BotApiStandIn, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(cli, "LISTEN_SECONDS", 30)  # it ends with the first conflict
        stop = threading.Event()
        polls = threading.Thread(target=poll_on, args=(client_of(here), stop), daemon=True)
        polls.start()
        eventually(lambda: telegram.poll_waiting)
        (line,) = faults(here)
        stop.set()
        assert "another program" in line
        telegram.send_text(ADMIN_IDS[0], "hello")
        assert telegram.pending_updates() == 1
        polls.join(10)

    def test_a_webhook_set_elsewhere(self, here: App) -> None:
        client_of(here).set_webhook("http://127.0.0.1:2/other", "x", 1)
        assert ["http://127.0.0.1:2/other" in line for line in faults(here)] == [True]

    def test_another_webhook_than_ours(
        self, on_sqlite: Deployment, telegram: BotApiStandIn
    ) -> None:
        on_sqlite.reset()
        own = {"TELEGRAM_MODE": "webhook", "TELEGRAM_WEBHOOK_URL": "http://127.0.0.1:1"}
        with talking(on_sqlite, telegram, **own) as app:
            polled(app)
            assert ["no webhook is set" in line for line in faults(app)] == [True]
            client_of(app).set_webhook("http://127.0.0.1:2/other", "x", 1)
            assert ["another deployment" in line for line in faults(app)] == [True]
            client_of(app).set_webhook("http://127.0.0.1:1/telegram/webhook", "x", 1)
            assert faults(app) == []
            telegram.send_text(ADMIN_IDS[0], "hello")
            eventually(lambda: bool(client_of(app).get_webhook().get("last_error_message")))
            assert ["Connection refused" in line for line in faults(app)] == [True]

    def test_an_admin_who_has_not_pressed_start(
        self, on_sqlite: Deployment, telegram: BotApiStandIn
    ) -> None:
        on_sqlite.reset()
        with BotApiStandIn() as strict:
            strict.add_group(LOG_CHANNEL, "Log", "channel")
            strict.send_text(ADMIN_IDS[0], "/start")
            with talking(on_sqlite, strict) as app:
                polled(app)
                (line,) = faults(app)
        assert str(ADMIN_IDS[1]) in line
        assert "has not pressed Start" in line

    def test_no_admins(self, on_sqlite: Deployment, telegram: BotApiStandIn) -> None:
        on_sqlite.reset()
        with talking(on_sqlite, telegram, TELEGRAM_ADMIN_IDS="") as app:
            polled(app)
            assert ["TELEGRAM_ADMIN_IDS" in line for line in faults(app)] == [True]

    def test_a_log_channel_that_is_missing(
        self, on_sqlite: Deployment, telegram: BotApiStandIn
    ) -> None:
        on_sqlite.reset()
        with talking(on_sqlite, telegram, TELEGRAM_LOG_CHANNEL_ID="-1005") as app:
            polled(app)
            assert ["-1005" in line for line in faults(app)] == [True]

    def test_a_log_channel_that_threw_the_bot_out(self, here: App, telegram: BotApiStandIn) -> None:
        polled(here)
        telegram.kick(LOG_CHANNEL)
        (line,) = faults(here)
        assert str(LOG_CHANNEL) in line
        assert "administrator" in line

    def test_a_log_channel_where_the_bot_may_not_post(
        self, on_sqlite: Deployment, telegram: BotApiStandIn
    ) -> None:
        on_sqlite.reset()
        telegram.add_group(-1006, "Mute", "channel", can_post=False)
        with talking(on_sqlite, telegram, TELEGRAM_LOG_CHANNEL_ID="-1006") as app:
            polled(app)
            assert ["may not post in Mute" in line for line in faults(app)] == [True]


def poll_on(client: BotClient, stop: threading.Event) -> None:
    """What a second program does: it comes again when its poll was ended."""
    while not stop.is_set():
        client.is_polled_elsewhere(1)
        time.sleep(0.1)


def test_is_listed_by_help(on_sqlite: Deployment) -> None:
    found = on_sqlite.app.test_cli_runner().invoke(args=["telegram", "--help"])
    assert "doctor" in found.output
