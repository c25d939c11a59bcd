"""Delivers updates to the webhook of the bot, again and again until it takes them."""

from __future__ import annotations

import json
import threading
import time
import urllib.error
import urllib.request

from .model import Json
from .state import State
from .updates import Update, Webhook

REQUEST_SECONDS = 60
FIRST_RETRY_SECONDS = 0.5
LAST_RETRY_SECONDS = 60.0
LONGEST_RETRY_AFTER = 3600
# Deliveries go to loopback only, so a proxy from the environment must not come between.
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def describe(state: State) -> Json:
    """The WebhookInfo object."""
    with state.monitor:
        queue = state.updates
        queue.expire()
        hook = queue.webhook
        info: Json = {
            "url": hook.url,
            "has_custom_certificate": False,
            "pending_update_count": len(queue.pending),
        }
        if hook.last_error_date:
            info["last_error_date"] = hook.last_error_date
            info["last_error_message"] = hook.last_error_message
        if hook.url:
            info |= {"max_connections": hook.max_connections, "ip_address": "127.0.0.1"}
        if queue.allowed_updates:
            info["allowed_updates"] = queue.allowed_updates
        return info


class WebhookCourier:
    """One thread, one update at a time, in order."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._thread = threading.Thread(target=self._run, name="telegram-webhook", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def _run(self) -> None:
        monitor, queue = self._state.monitor, self._state.updates
        failures = 0
        while True:
            with monitor:
                monitor.wait_for(self._has_work)
                if monitor.stopped:
                    return
                hook, update = queue.webhook, queue.first()
                if update is None:
                    continue
                queue.records[update.update_id].deliveries += 1
            failure, retry_after = deliver(hook, update)
            with monitor:
                if queue.webhook is not hook:
                    continue
                if not failure:
                    failures = 0
                    queue.settle(update.update_id)
                    continue
                hook.last_error_date, hook.last_error_message = int(time.time()), failure
                wait = retry_after or min(FIRST_RETRY_SECONDS * 2**failures, LAST_RETRY_SECONDS)
                failures += 1
                monitor.wait_for(lambda: self._is_over(hook), timeout=wait)  # noqa: B023

    def _has_work(self) -> bool:
        monitor, queue = self._state.monitor, self._state.updates
        return monitor.stopped or bool(queue.webhook.url and queue.pending and not monitor.down)

    def _is_over(self, hook: Webhook) -> bool:
        return self._state.monitor.stopped or self._state.updates.webhook is not hook


def deliver(hook: Webhook, update: Update) -> tuple[str, int]:
    """Posts one update; what went wrong ("" when taken) and the Retry-After that was asked for."""
    headers = {"Content-Type": "application/json"}
    if hook.secret_token:
        headers["X-Telegram-Bot-Api-Secret-Token"] = hook.secret_token
    body = json.dumps(update.to_api(), ensure_ascii=False).encode()
    request = urllib.request.Request(hook.url, data=body, headers=headers, method="POST")
    try:
        with OPENER.open(request, timeout=REQUEST_SECONDS):
            return "", 0
    except urllib.error.HTTPError as error:
        asked = error.headers.get("Retry-After", "")
        retry_after = min(int(asked), LONGEST_RETRY_AFTER) if asked.isdigit() else 0
        return f"Wrong response from the webhook: {error.code} {error.reason}", retry_after
    except urllib.error.URLError as error:
        if isinstance(error.reason, ConnectionRefusedError):
            return "Connection refused", 0
        return f"Connection failed: {error.reason}", 0
    except OSError as error:
        return f"Connection failed: {error}", 0
