"""The getUpdates loop: runs in the one process that leads."""

from __future__ import annotations

import logging
import random
import time

from flask import Flask

from manga_backend.kernel.telegram import queries, service
from manga_backend.kernel.telegram.clients import LONG_POLL_SECONDS, BotClient
from manga_backend.kernel.telegram.errors import (
    TelegramBusy,
    TelegramConflict,
    TelegramError,
    TelegramUnauthorized,
)
from manga_backend.kernel.telegram.settings import TelegramSettings
from manga_backend.kit.db import reading, transaction
from manga_backend.kit.leader import Stop
from manga_backend.kit.settings import settings

log = logging.getLogger(__name__)

LONGEST_PAUSE_SECONDS = 30.0
WRONG_TOKEN_PAUSE_SECONDS = 30.0
NOTE_SECONDS = 20.0


def poll(app: Flask, stop: Stop) -> None:
    """The leader's duty: read updates until told to stop. Faults of Telegram never end it."""
    with app.app_context():
        config = settings(TelegramSettings)
    if config.mode != "polling":
        if not config.token:
            log.warning("no TELEGRAM_BOT_TOKEN is set: nobody is told anything on Telegram")
        stop.wait()
        return
    Poller(app, BotClient(config), stop).run()


class Poller:
    """One loop over getUpdates: fetch (no transaction), store, handle each, answer presses."""

    def __init__(self, app: Flask, client: BotClient, stop: Stop) -> None:
        self._app = app
        self._client = client
        self._stop = stop
        self._failures = 0
        self._problem: type[TelegramError] | None = None
        self._noted_at = -NOTE_SECONDS
        self._username: str | None = None

    def run(self) -> None:
        """Loop until stopped; what a killed predecessor stored and did not handle comes first."""
        self._handle_waiting()
        while not self._stop.is_set():
            try:
                self.turn(LONG_POLL_SECONDS)
            except TelegramError as error:
                if self._stop.is_set():
                    return  # another leads by now: its poll is what ended ours
                self._note(error)
                with self._stop.idle():
                    self._stop.wait(self._pause(error))

    def turn(self, long_poll_seconds: int) -> None:
        """Fetch once, store, handle; TelegramError when nothing could be fetched."""
        if self._username is None:
            self._username = str(self._client.get_me().get("username") or "")
            self._note(None)
        offset = self._offset()
        with self._stop.idle():
            updates = self._client.get_updates(offset, long_poll_seconds)
        if self._stop.is_set():
            return  # leadership is lost: unconfirmed updates belong to the next leader
        self._failures = 0
        self._note(None)
        if updates:
            with self._app.app_context(), transaction():
                service.store_updates(updates)
        self._handle_waiting()  # also what failed before and may be tried again

    def _offset(self) -> int | None:
        with self._app.app_context(), reading(), transaction():
            poller = queries.find_poller()
            return poller.next_offset if poller else None

    def _handle_waiting(self) -> None:
        with self._app.app_context(), reading(), transaction():
            waiting = queries.list_waiting_update_ids()
        for update_id in waiting:
            if self._stop.is_set():
                return
            with self._app.app_context():
                answer = service.handle_update(update_id)
            if answer is not None:
                try:
                    self._client.answer_press(answer.query_id, answer.text)
                except TelegramError as error:
                    # Too late or unreachable: the message itself is edited anyway.
                    log.debug("press %s not answered: %s", answer.query_id, error.description)

    def _pause(self, error: TelegramError) -> float:
        if isinstance(error, TelegramUnauthorized):
            return WRONG_TOKEN_PAUSE_SECONDS
        if isinstance(error, TelegramBusy) and error.retry_after:
            return float(error.retry_after)
        self._failures += 1
        longest = min(LONGEST_PAUSE_SECONDS, 2.0 ** min(self._failures - 1, 6))
        return longest * random.uniform(0.5, 1.0)  # noqa: S311

    def _note(self, error: TelegramError | None) -> None:
        """Log a problem when it begins and when it ends; store it for the readiness check."""
        problem = None if error is None else _in_words(error)
        kind = None if error is None else type(error)
        changed = kind is not self._problem
        if not changed and (problem or time.monotonic() - self._noted_at < NOTE_SECONDS):
            return
        if changed and problem:
            log.error("Telegram: %s", problem)
        elif changed:
            log.info("Telegram answers again")
        self._problem, self._noted_at = kind, time.monotonic()
        with self._app.app_context(), transaction():
            service.note_poller(problem=problem, bot_username=self._username)


def _in_words(error: TelegramError) -> str:
    if isinstance(error, TelegramUnauthorized):
        return "TELEGRAM_BOT_TOKEN is refused (401); check it with @BotFather"
    if isinstance(error, TelegramConflict):
        return f"another program reads this bot's updates (409): {error.description}"
    if isinstance(error, TelegramBusy):
        return "too many requests (429)"
    return f"unreachable: {error.description}; is api.telegram.org filtered here?"
