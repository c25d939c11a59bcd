"""Delivers updates to the webhook of the bot, again and again until it takes them."""

from __future__ import annotations

import http.client
import json
import threading
import urllib.error
import urllib.request
from dataclasses import dataclass

from .dispatch import Dispatcher
from .state import State
from .updates import Update, Webhook

REQUEST_SECONDS = 60
FIRST_RETRY_SECONDS = 0.5
LAST_RETRY_SECONDS = 60.0
GONE_SECONDS = 23 * 3600
LONGEST_RETRY_AFTER = 3600
# Deliveries go to loopback only, so a proxy from the environment must not come between.
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(frozen=True)
class Answer:
    """What a webhook said to one update; `failure` is "" when it took it."""

    failure: str = ""
    retry_after: int = 0
    is_gone: bool = False
    content_type: str = ""
    body: bytes = b""


class WebhookCourier:
    """One thread, one update at a time, in order."""

    def __init__(
        self, state: State, dispatcher: Dispatcher, longest_retry_seconds: float | None
    ) -> None:
        """`longest_retry_seconds` bounds the wait after a failure, Retry-After included."""
        self._state = state
        self._dispatcher = dispatcher
        self._longest = longest_retry_seconds
        self._thread = threading.Thread(target=self._run, name="telegram-webhook", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def _run(self) -> None:
        monitor, queue = self._state.monitor, self._state.updates
        failures = 0
        while True:
            with monitor:
                monitor.for_updates.wait_for(self._has_work)
                if monitor.stopped:
                    return
                hook, update = queue.webhook, queue.first()
                if update is None:
                    continue
                queue.records[update.update_id].deliveries += 1
            answer = deliver(hook, update)
            with monitor:
                if queue.webhook is not hook:
                    continue
                if answer.failure:
                    self._note(hook, answer)
                    wait = self._wait_seconds(answer, failures)
                    failures += 1
                    monitor.for_updates.wait_for(lambda: self._is_over(hook), timeout=wait)  # noqa: B023
                    continue
                failures, hook.gone_since = 0, 0.0
                queue.settle(update.update_id)
            self._dispatcher.take_webhook_answer(answer.content_type, answer.body)

    def _note(self, hook: Webhook, answer: Answer) -> None:
        now = self._state.clock.now()
        hook.last_error_date, hook.last_error_message = int(now), answer.failure
        hook.gone_since = (hook.gone_since or now) if answer.is_gone else 0.0
        if hook.gone_since and now - hook.gone_since >= GONE_SECONDS:
            self._state.updates.webhook = Webhook()  # it said for a day that it is no more
            self._state.monitor.mark_updates()

    def _wait_seconds(self, answer: Answer, failures: int) -> float:
        doubled = FIRST_RETRY_SECONDS * 2 ** min(failures, 10)
        wait = answer.retry_after or min(doubled, LAST_RETRY_SECONDS)
        return wait if self._longest is None else min(wait, self._longest)

    def _has_work(self) -> bool:
        monitor, queue = self._state.monitor, self._state.updates
        return monitor.stopped or bool(queue.webhook.url and queue.pending and not monitor.down)

    def _is_over(self, hook: Webhook) -> bool:
        return self._state.monitor.stopped or self._state.updates.webhook is not hook


def deliver(hook: Webhook, update: Update) -> Answer:
    """Posts one update."""
    headers = {"Content-Type": "application/json"}
    if hook.secret_token:
        headers["X-Telegram-Bot-Api-Secret-Token"] = hook.secret_token
    body = json.dumps(update.to_api(), ensure_ascii=False).encode()
    request = urllib.request.Request(hook.url, data=body, headers=headers, method="POST")
    try:
        with OPENER.open(request, timeout=REQUEST_SECONDS) as response:
            return Answer(
                content_type=response.headers.get("Content-Type", ""), body=response.read()
            )
    except urllib.error.HTTPError as error:
        with error:
            asked = error.headers.get("Retry-After", "")
            retry_after = min(int(asked), LONGEST_RETRY_AFTER) if asked.isdigit() else 0
            words = f"Wrong response from the webhook: {error.code} {error.reason}"
            return Answer(words, retry_after, is_gone=error.code == 410)
    except urllib.error.URLError as error:
        if isinstance(error.reason, ConnectionRefusedError):
            return Answer("Connection refused")
        return Answer(f"Connection failed: {error.reason}")
    except TimeoutError:
        return Answer("Read timeout expired")
    except (OSError, http.client.HTTPException) as error:
        return Answer(f"Connection failed: {error}")
