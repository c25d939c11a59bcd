"""The stand-in as a server: faults, outages, restarts, webhooks, control API, command line."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.standins.telegram import BotApiStandIn
from tests.standins.telegram_client import (
    CHANNEL,
    TOKEN,
    USER,
    call,
    error,
    in_background,
    wait_until,
)


@pytest.fixture
def stand_in() -> Iterator[BotApiStandIn]:
    with BotApiStandIn(TOKEN) as running:
        yield running


class TestTrouble:
    def test_faults(self, stand_in: BotApiStandIn) -> None:
        stand_in.send_text(USER, "/start")
        stand_in.fail_next("sendMessage", 1, status=429, retry_after=7)
        stand_in.fail_next("*", 1, status=403, description="bot was blocked by the user")
        stand_in.fail_next("sendMessage", 1, status=502, garbage=True)
        stand_in.fail_next("sendMessage", 1, status=200, drop_connection=True)

        flood = call(stand_in, "sendMessage", chat_id=USER, text="1")
        assert (flood.status_code, flood.headers["Retry-After"]) == (429, "7")
        assert flood.json() == {
            "ok": False,
            "error_code": 429,
            "description": "Too Many Requests: retry after 7",
            "parameters": {"retry_after": 7},
        }
        blocked = error(stand_in, "sendMessage", chat_id=USER, text="2")
        assert blocked == (403, "Forbidden: bot was blocked by the user")
        garbage = call(stand_in, "sendMessage", chat_id=USER, text="3")
        assert (garbage.status_code, garbage.text[:6]) == (502, "<html>")
        with pytest.raises(requests.ConnectionError):
            call(stand_in, "sendMessage", chat_id=USER, text="lost answer")
        assert call(stand_in, "sendMessage", chat_id=USER, text="5").status_code == 200
        texts = [message.text for message in stand_in.messages(USER)]
        assert texts == ["/start", "lost answer", "5"]
        assert [c.status for c in stand_in.calls("sendMessage")] == [429, 403, 502, 0, 200]

    def test_an_outage(self, stand_in: BotApiStandIn) -> None:
        poll = in_background(lambda: call(stand_in, "getUpdates", timeout=20))
        wait_until(lambda: stand_in.poll_waiting)
        stand_in.go_down()
        with pytest.raises(requests.ConnectionError):
            poll.result(5)
        with pytest.raises(requests.ConnectionError):
            call(stand_in, "getMe")
        stand_in.come_back()
        assert call(stand_in, "getMe").json()["ok"]

    def test_only_loopback(self) -> None:
        with pytest.raises(ValueError, match="loopback"):
            BotApiStandIn(TOKEN, host="0.0.0.0")


def test_the_state_survives_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "state.json"
    with BotApiStandIn(TOKEN, state_file=path) as stand_in:
        first_id = stand_in.send_text(USER, "/start", first_name="Sara")
        call(stand_in, "sendMessage", chat_id=USER, text="<b>hi</b>", parse_mode="HTML")
        call(stand_in, "setMyCommands", commands=[{"command": "help", "description": "Help"}])
        query_id = stand_in.press_raw(USER, 2, "x")
    with BotApiStandIn(TOKEN, state_file=path) as stand_in:
        assert [message.text for message in stand_in.messages(USER)] == ["/start", "hi"]
        updates = call(stand_in, "getUpdates").json()["result"]
        assert [update["update_id"] for update in updates] == [first_id, first_id + 1]
        assert call(stand_in, "answerCallbackQuery", callback_query_id=query_id).json()["ok"]
        assert call(stand_in, "getMyCommands").json()["result"][0]["command"] == "help"
        assert stand_in.send_text(USER, "again") == first_id + 2
        assert stand_in.messages(USER)[-1].message_id == 3


class Receiver(HTTPServer):
    """A webhook that refuses the first delivery."""

    def __init__(self) -> None:
        self.received: list[tuple[str | None, int]] = []
        super().__init__(("127.0.0.1", 0), ReceiverHandler)


class ReceiverHandler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        update = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        secret = self.headers.get("X-Telegram-Bot-Api-Secret-Token")
        self.server.received.append((secret, update["update_id"]))
        self.send_response(200 if len(self.server.received) > 1 else 500)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing."""


class TestWebhook:
    @pytest.fixture
    def receiver(self) -> Iterator[Receiver]:
        with Receiver() as receiver:
            thread = threading.Thread(target=receiver.serve_forever, args=(0.05,), daemon=True)
            thread.start()
            yield receiver
            receiver.shutdown()

    def test_delivery_with_a_retry(self, stand_in: BotApiStandIn, receiver: Receiver) -> None:
        def info() -> Any:
            return call(stand_in, "getWebhookInfo").json()["result"]

        url = f"http://127.0.0.1:{receiver.server_port}/telegram/webhook"
        assert call(stand_in, "setWebhook", url=url, secret_token="s3cret").json()["result"]
        first = stand_in.send_text(USER, "one")
        wait_until(lambda: len(receiver.received) == 1)
        wait_until(lambda: "500" in info().get("last_error_message", ""))
        second = stand_in.send_text(USER, "two")
        wait_until(lambda: stand_in.pending_updates() == 0)
        assert receiver.received == [("s3cret", first), ("s3cret", first), ("s3cret", second)]
        assert info()["url"] == url
        assert error(stand_in, "getUpdates") == (
            409,
            "Conflict: can't use getUpdates method while webhook is active;"
            " use deleteWebhook to delete the webhook first",
        )
        assert call(stand_in, "deleteWebhook", drop_pending_updates=True).json()["result"]
        assert call(stand_in, "getUpdates").json() == {"ok": True, "result": []}

    def test_it_ends_a_waiting_poll(self, stand_in: BotApiStandIn, receiver: Receiver) -> None:
        poll = in_background(lambda: call(stand_in, "getUpdates", timeout=20))
        wait_until(lambda: stand_in.poll_waiting)
        call(stand_in, "setWebhook", url=f"http://127.0.0.1:{receiver.server_port}/")
        assert poll.result(5).json()["description"] == "Conflict: terminated by setWebhook request"

    def test_bad_ones(self, stand_in: BotApiStandIn) -> None:
        assert error(stand_in, "setWebhook", url="https://example.com/")[0] == 400
        assert error(stand_in, "setWebhook", url="http://127.0.0.1/", secret_token="a b")[0] == 400


class TestControlApi:
    def test_a_talk_over_http(self, stand_in: BotApiStandIn) -> None:
        base = f"{stand_in.url}/_control"

        def post(name: str, **given: Any) -> Any:
            answer = requests.post(f"{base}/{name}", json=given, timeout=5)
            assert answer.status_code == 200, answer.text
            return answer.json()

        def get(name: str, **given: Any) -> Any:
            return requests.get(f"{base}/{name}", params=given, timeout=5).json()

        assert post("send_text", user_id=USER, text="/start", first_name="Sara")["update_id"]
        markup = {"inline_keyboard": [[{"text": "Yes", "callback_data": "y"}]]}
        call(stand_in, "sendMessage", chat_id=USER, text="Sure?", reply_markup=markup)
        found = get("wait_for_message", chat_id=USER, contains="Sure", timeout=2)["message"]
        assert (found["message_id"], found["sender"]) == (2, "Two Manga")
        query_id = post("press", user_id=USER, message_id=2, text_contains="Yes")["callback_id"]
        call(stand_in, "answerCallbackQuery", callback_query_id=query_id, text="Fine")
        answer = get("wait_for_callback_answer", callback_id=query_id, timeout=2)
        assert answer == {"text": "Fine", "show_alert": False}
        assert get("callback_answers")["answers"] == {query_id: "Fine"}
        assert get("updates")["pending"] == 2
        assert len(get("messages", chat_id=USER)["messages"]) == 2
        assert [c["status"] for c in get("calls", method="sendMessage")["calls"]] == [200]
        post("fail_next", method="getMe", status=500)
        assert error(stand_in, "getMe") == (500, "Internal Server Error")
        post("go_down")
        with pytest.raises(requests.ConnectionError):
            call(stand_in, "getMe")
        post("come_back")
        version = get("chats")["version"]
        waiting = in_background(lambda: get("changes", since=version, timeout=5))
        post("add_group", chat_id=CHANNEL, title="Log")
        assert [chat["id"] for chat in waiting.result(5)["chats"]] == [USER, CHANNEL]

    def test_refusals(self, stand_in: BotApiStandIn) -> None:
        def status(path: str, **request: Any) -> int:
            return requests.post(f"{stand_in.url}{path}", timeout=5, **request).status_code

        block = "/_control/block"
        assert status(block, json={"user_id": USER}) == 200
        assert status(block, json={"nobody": USER}) == 400
        assert status(block, data='{"user_id": 1}') == 400
        assert status("/_control/nothing", json={}) == 404
        assert status("/_control/press", json={"user_id": USER, "message_id": 9}) == 404
        for headers in ({"Origin": "http://evil.example"}, {"Host": "evil.example"}):
            assert status(block, json={"user_id": USER}, headers=headers) == 403

    def test_the_page(self, stand_in: BotApiStandIn) -> None:
        answer = requests.get(stand_in.url, timeout=5)
        assert answer.headers["Content-Type"].startswith("text/html")
        assert "innerHTML" not in answer.text
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]


def test_the_command_line(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    command = [sys.executable, "-m", "tests.standins.telegram", "--port", "0", "--open-chats"]
    command += ["--name", f"{USER}=Admin One", "--state", str(tmp_path / "state.json")]
    with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            url = process.stdout.readline().split()[-1]
            chats = requests.get(f"{url}/_control/chats", timeout=5).json()["chats"]
            assert [chat["title"] for chat in chats] == ["Admin One"]
            process.send_signal(signal.SIGTERM)
            assert process.wait(5) == 0
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)
    assert "Admin One" in (tmp_path / "state.json").read_text("utf-8")
