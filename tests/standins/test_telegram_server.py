"""The stand-in as a server: faults, outages, restarts, control API, command line, HTTP."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
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
            poll.result(30)
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
        assert [chat["id"] for chat in waiting.result(30)["chats"]] == [USER, CHANNEL]

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
    command += ["--limits", "2", "--keep-calls", "no", "--keep-last", "3"]
    with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            url = process.stdout.readline().split()[-1]
            chats = requests.get(f"{url}/_control/chats", timeout=5).json()["chats"]
            assert [chat["title"] for chat in chats] == ["Admin One"]
            send = f"{url}/bot{TOKEN}/sendMessage?chat_id={USER}&text=x"
            begun, sent = time.monotonic(), 0
            while requests.get(send, timeout=5).status_code == 200:
                sent += 1
            assert 6 <= sent <= 6 + 2 * (time.monotonic() - begun)
            counts = requests.get(f"{url}/_control/counts", timeout=5).json()
            assert (counts["sent"], counts["refused_429"]) == (sent, 1)
            assert requests.get(f"{url}/_control/calls", timeout=5).json() == {"calls": []}
            process.send_signal(signal.SIGTERM)
            assert process.wait(5) == 0
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)
    saved = json.loads((tmp_path / "state.json").read_text("utf-8"))
    assert [chat["title"] for chat in saved["chats"]] == ["Admin One"]
    assert len(saved["chats"][0]["messages"]) == 3


class TestHttp:
    """The server reads HTTP by itself: what clients may send must not surprise it."""

    def talk(self, stand_in: BotApiStandIn, *pieces: bytes) -> bytes:
        port = int(stand_in.url.rsplit(":", 1)[1])
        received = b""
        with socket.create_connection(("127.0.0.1", port), 5) as client:
            for piece in pieces:
                client.sendall(piece)
                time.sleep(0.02)
            client.shutdown(socket.SHUT_WR)
            while chunk := client.recv(65536):
                received += chunk
        return received

    def test_two_requests_in_pieces_on_one_connection(self, stand_in: BotApiStandIn) -> None:
        body = f"chat_id={USER}&text=%D8%A2+b%".encode()
        stand_in.send_text(USER, "/start")
        head = f"POST /bot{TOKEN}/sendMessage HTTP/1.1\r\nhost: x\r\n".encode()
        head += b"Content-Type: application/x-www-form-urlencoded\r\nContent-LENGTH:%d\r\n\r\n"
        request = head % len(body) + body
        answers = self.talk(stand_in, request[:30], request[30:-4], request[-4:] + request)
        assert answers.count(b"HTTP/1.1 200 OK\r\n") == 2
        assert [m.text for m in stand_in.messages(USER)[1:]] == ["آ b%"] * 2

    @pytest.mark.parametrize(
        ("request_head", "status"),
        [
            (b"nonsense\r\n", 400),
            (b"PUT / HTTP/1.1\r\n", 501),
            (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n", 411),
            (b"POST / HTTP/1.1\r\nContent-Length: -1\r\n", 411),
            (b"GET /bot1:x/getMe HTTP/1.0\r\n", 401),
            (b"GET http://127.0.0.1/bot1:x/getMe?a=1 HTTP/1.1\r\nConnection: close\r\n", 401),
        ],
    )
    def test_what_ends_a_connection(
        self, stand_in: BotApiStandIn, request_head: bytes, status: int
    ) -> None:
        answer = self.talk(stand_in, request_head + b"\r\n")
        assert answer.startswith(b"HTTP/1.1 %d " % status)
        assert b"\r\nConnection: close\r\n" in answer

    def test_it_says_go_on(self, stand_in: BotApiStandIn) -> None:
        head = b"POST /bot%s/getMe HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"
        answer = self.talk(stand_in, head % TOKEN.encode(), b"{}")
        assert answer.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n")
