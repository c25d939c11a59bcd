"""The webhook of the stand-in: deliveries, their retries, and answers that carry a method."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tests.standins.telegram import BotApiStandIn
from tests.standins.telegram_client import TOKEN, USER, call, error, in_background, wait_until

HOUR = 3600


@dataclass
class Answer:
    """What the receiver says to a delivery: a status, headers and perhaps a method."""

    status: int = 200
    body: bytes = b""
    content_type: str = "application/json"
    retry_after: int = 0


class Receiver(ThreadingHTTPServer):
    """A webhook that gives the answers it was told, and then 200 to all."""

    daemon_threads = True

    def __init__(self) -> None:
        self.received: list[tuple[list[str], Any]] = []
        self.answers: list[Answer] = []
        self.always = Answer()
        super().__init__(("127.0.0.1", 0), ReceiverHandler)
        self.url = f"http://127.0.0.1:{self.server_port}/telegram/webhook"

    @property
    def ids(self) -> list[int]:
        return [update["update_id"] for _, update in self.received]


class ReceiverHandler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        update = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        secrets = self.headers.get_all("X-Telegram-Bot-Api-Secret-Token") or []
        self.server.received.append((secrets, update))
        answer = self.server.answers.pop(0) if self.server.answers else self.server.always
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.content_type)
        self.send_header("Content-Length", str(len(answer.body)))
        if answer.retry_after:
            self.send_header("Retry-After", str(answer.retry_after))
        self.end_headers()
        self.wfile.write(answer.body)

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing."""


def carrying(method: str, **params: Any) -> Answer:
    return Answer(body=json.dumps({"method": method, **params}).encode())


@pytest.fixture
def stand_in() -> Iterator[BotApiStandIn]:
    with BotApiStandIn(TOKEN, webhook_retry_seconds=0.05) as running:
        yield running


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as receiver:
        thread = threading.Thread(target=receiver.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        yield receiver
        receiver.shutdown()


@pytest.fixture
def hooked(stand_in: BotApiStandIn, receiver: Receiver) -> BotApiStandIn:
    assert call(stand_in, "setWebhook", url=receiver.url, secret_token="s3cret").json()["result"]
    return stand_in


def info(stand_in: BotApiStandIn) -> Any:
    return call(stand_in, "getWebhookInfo").json()["result"]


def all_taken(stand_in: BotApiStandIn) -> None:
    wait_until(lambda: stand_in.pending_updates() == 0)


class TestDeliveries:
    def test_a_retry_keeps_the_order(self, hooked: BotApiStandIn, receiver: Receiver) -> None:
        begun = int(time.time())
        receiver.answers = [Answer(500), Answer(301), Answer(403)]
        ids = [hooked.send_text(USER, text) for text in ("one", "two")]
        all_taken(hooked)
        assert receiver.ids == [ids[0]] * 4 + [ids[1]]
        assert [secrets for secrets, _ in receiver.received] == [["s3cret"]] * 5
        found = info(hooked)
        assert (found["url"], found["pending_update_count"]) == (receiver.url, 0)
        assert found["last_error_message"] == "Wrong response from the webhook: 403 Forbidden"
        assert begun <= found["last_error_date"] <= time.time()
        assert [record.deliveries for record in hooked.update_log()] == [4, 1]

    def test_without_a_secret(self, stand_in: BotApiStandIn, receiver: Receiver) -> None:
        call(stand_in, "setWebhook", url=receiver.url)
        stand_in.send_text(USER, "one")
        all_taken(stand_in)
        assert receiver.received[0][0] == []

    def test_what_waits_is_counted(self, hooked: BotApiStandIn, receiver: Receiver) -> None:
        receiver.always = Answer(503)
        for text in ("one", "two", "three"):
            hooked.send_text(USER, text)
        wait_until(lambda: len(receiver.received) > 3)
        assert info(hooked)["pending_update_count"] == 3
        assert len(set(receiver.ids)) == 1
        receiver.always = Answer()
        all_taken(hooked)

    def test_retry_after_is_kept(self, receiver: Receiver) -> None:
        with BotApiStandIn(TOKEN) as stand_in:
            call(stand_in, "setWebhook", url=receiver.url)
            receiver.answers = [Answer(429, retry_after=1)]
            started = time.monotonic()
            stand_in.send_text(USER, "one")
            all_taken(stand_in)
            assert time.monotonic() - started >= 1

    def test_nobody_there(self, stand_in: BotApiStandIn) -> None:
        call(stand_in, "setWebhook", url="http://127.0.0.1:9/")
        stand_in.send_text(USER, "one")
        wait_until(lambda: info(stand_in).get("last_error_message") == "Connection refused")

    def test_a_press_is_gone_after_its_time(
        self, hooked: BotApiStandIn, receiver: Receiver
    ) -> None:
        receiver.always = Answer(500)
        hooked.send_text(USER, "/start")
        hooked.press_raw(USER, 1, "x")
        hooked.advance(151)
        receiver.always = Answer()
        all_taken(hooked)
        assert [record.outcome for record in hooked.update_log()] == ["confirmed", "expired"]

    def test_a_day_of_410_ends_it(self, hooked: BotApiStandIn, receiver: Receiver) -> None:
        receiver.always = Answer(410)
        hooked.send_text(USER, "one")
        wait_until(lambda: len(receiver.received) > 1)
        assert info(hooked)["url"]
        hooked.advance(23 * HOUR + 1)
        wait_until(lambda: not info(hooked)["url"])
        assert call(hooked, "getUpdates").json()["result"]


class TestAnswersWithAMethod:
    def test_they_are_carried_out(self, hooked: BotApiStandIn, receiver: Receiver) -> None:
        form = b"method=sendMessage&chat_id=%d&text=two" % USER
        receiver.answers = [
            carrying("sendMessage", chat_id=USER, text="<b>one</b>", parse_mode="HTML"),
            Answer(body=form, content_type="application/x-www-form-urlencoded"),
        ]
        for text in ("/start", "/help"):
            hooked.send_text(USER, text)
        assert hooked.wait_for_message(USER, "one").entities[0]["type"] == "bold"
        assert hooked.wait_for_message(USER, "two")
        wait_until(lambda: all(made.status for made in hooked.calls("sendMessage")))
        calls = hooked.calls("sendMessage")
        assert [(made.status, made.params["text"]) for made in calls] == [
            (200, "<b>one</b>"),
            (200, "two"),
        ]
        assert "method" not in calls[0].params

    def test_an_answer_to_a_press(self, hooked: BotApiStandIn, receiver: Receiver) -> None:
        hooked.send_text(USER, "/start")
        all_taken(hooked)
        with hooked._state.monitor:  # the answer must be ready before the press is delivered
            query_id = hooked.press_raw(USER, 1, "x")
            receiver.always = carrying(
                "answerCallbackQuery", callback_query_id=query_id, text="Done", show_alert=True
            )
        assert hooked.wait_for_callback_answer(query_id, timeout=30) == "Done"

    def test_they_are_checked_as_requests_are(
        self, hooked: BotApiStandIn, receiver: Receiver
    ) -> None:
        receiver.answers = [
            carrying("sendMessage", chat_id=USER, text=""),
            carrying("sendMessage", chat_id=1, text="x"),
            carrying("noSuchMethod"),
        ]
        for text in ("1", "2", "3"):
            hooked.send_text(USER, text)
        wait_until(lambda: len(hooked.calls("noSuchMethod")) == 1)
        wait_until(lambda: [made.status for made in hooked.calls("noSuchMethod")] == [404])
        assert [made.status for made in hooked.calls("sendMessage")] == [400, 400]

    @pytest.mark.parametrize(
        "answer",
        [
            Answer(body=b'{"ok": true}'),
            Answer(body=b"not JSON"),
            Answer(body=b"[1]"),
            Answer(body=b"OK", content_type="text/plain"),
            Answer(status=204),
            carrying("getMe"),
            carrying("deleteWebhook"),
            carrying("setWebhook", url=""),
        ],
    )
    def test_others_are_left_alone(
        self, hooked: BotApiStandIn, receiver: Receiver, answer: Answer
    ) -> None:
        receiver.always = answer
        before = len(hooked.calls())
        for text in ("1", "2"):
            hooked.send_text(USER, text)
        all_taken(hooked)
        assert len(hooked.calls()) == before
        assert info(hooked)["url"]

    def test_a_refused_delivery_carries_nothing(
        self, hooked: BotApiStandIn, receiver: Receiver
    ) -> None:
        refusal = carrying("sendMessage", chat_id=USER, text="never")
        refusal.status = 500
        receiver.answers = [refusal]
        hooked.send_text(USER, "1")
        all_taken(hooked)
        assert hooked.calls("sendMessage") == []


class TestSwitching:
    def test_polling_is_refused_meanwhile(self, hooked: BotApiStandIn) -> None:
        assert error(hooked, "getUpdates") == (
            409,
            "Conflict: can't use getUpdates method while webhook is active;"
            " use deleteWebhook to delete the webhook first",
        )
        assert call(hooked, "deleteWebhook", drop_pending_updates=True).json()["result"]
        assert call(hooked, "getUpdates").json() == {"ok": True, "result": []}
        assert info(hooked)["url"] == ""

    def test_it_ends_a_waiting_poll(self, stand_in: BotApiStandIn, receiver: Receiver) -> None:
        poll = in_background(lambda: call(stand_in, "getUpdates", timeout=20))
        wait_until(lambda: stand_in.poll_waiting)
        call(stand_in, "setWebhook", url=receiver.url)
        assert poll.result(30).json()["description"] == "Conflict: terminated by setWebhook request"

    def test_bad_ones(self, stand_in: BotApiStandIn) -> None:
        assert error(stand_in, "setWebhook", url="https://example.com/")[0] == 400
        for secret in ("a b", "x" * 257, "é"):
            refusal = error(stand_in, "setWebhook", url="http://127.0.0.1/", secret_token=secret)
            assert refusal == (400, "Bad Request: secret token contains unallowed characters")
