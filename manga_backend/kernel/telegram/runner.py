"""The leader's care for updates: the getUpdates loop, or the watch over the webhook."""

from __future__ import annotations

import logging
import random
import time
from datetime import UTC, datetime, timedelta
from typing import Any

from flask import Flask

from manga_backend.kernel.telegram import queries
from manga_backend.kernel.telegram.clients import LONG_POLL_SECONDS, BotClient
from manga_backend.kernel.telegram.errors import (
    RecipientUnreachable,
    TelegramBusy,
    TelegramConflict,
    TelegramError,
    TelegramRefused,
    TelegramUnauthorized,
)
from manga_backend.kernel.telegram.events import PollerReturned
from manga_backend.kernel.telegram.service import menu, poller, updates
from manga_backend.kernel.telegram.settings import OFFICIAL_API, TelegramSettings
from manga_backend.kit import clock
from manga_backend.kit.db import DATABASE_AWAY, reading, transaction
from manga_backend.kit.events import publish
from manga_backend.kit.leader import Stop
from manga_backend.kit.logging import Outage
from manga_backend.kit.settings import settings

log = logging.getLogger(__name__)

LONGEST_PAUSE_SECONDS = 30.0
WRONG_TOKEN_PAUSE_SECONDS = 30.0
DATABASE_PAUSE_SECONDS = 2.0
NOTE_SECONDS = 20.0
MENU_RETRY_SECONDS = 300.0
NUMBERS_LAST = timedelta(days=6)
"""After a week of silence Telegram begins with other numbers, lower ones perhaps (facts.md i): an
offset of before would confirm them unread. Without one, all that waits comes."""
LOOK_SECONDS = 60.0
"""Between two questions how the webhook fares."""
RETRY_SECONDS = 20.0
"""Between two looks for updates that the webhook stored and nobody could handle."""


def poll(app: Flask, stop: Stop) -> None:
    """The leader's duty: see that updates come, until told to stop.

    Faults of Telegram never end it, nor does a database that is away.
    """
    with app.app_context():
        config = settings(TelegramSettings)
    if config.mode == "polling":
        Poller(app, BotClient(config), stop).run()
    elif config.mode == "webhook":
        WebhookWatch(app, BotClient(config), stop, config).run()
    else:
        if not config.token:
            log.warning("no TELEGRAM_BOT_TOKEN is set: nobody is told anything on Telegram")
        stop.wait()


class _Care:
    """What both ways share: start, turn, turn …, with faults noted and waited for."""

    def __init__(self, app: Flask, client: BotClient, stop: Stop) -> None:
        self._app = app
        self._client = client
        self._stop = stop
        self._failures = 0
        self._problem: str | None = None
        self._noted: str | None = None
        self._noted_at = -NOTE_SECONDS
        self._username: str | None = None
        self._menu_at: float | None = 0.0
        self._database = Outage(
            log, "updates wait, the database is away", "the database answers again"
        )

    def run(self) -> None:
        """Loop until stopped; what a killed predecessor stored and did not handle comes first."""
        begun = False
        while not self._stop.is_set():
            try:
                if not begun:
                    self._handle_waiting()
                    self._start()
                    begun = True
                self._step()
                self._database.ends()
            except TelegramError as error:
                if self._stop.is_set():
                    return  # another leads by now: its poll is what ended ours
                self._rest(self._note_if_possible(error))
            except DATABASE_AWAY as error:
                self._database.begins(str(error).splitlines()[0])
                self._rest(DATABASE_PAUSE_SECONDS)

    def _start(self) -> None:
        raise NotImplementedError

    def _step(self) -> None:
        raise NotImplementedError

    def _rest(self, seconds: float) -> None:
        with self._stop.idle():
            self._stop.wait(seconds)

    def _learn_name(self) -> None:
        if self._username is None:
            self._username = str(self._client.get_me().get("username") or "")

    def _handle_waiting(self) -> None:
        with self._app.app_context(), reading(), transaction():
            waiting = queries.list_waiting_update_ids()
        for update_id in waiting:
            if self._stop.is_set():
                return
            with self._app.app_context():
                answer = updates.handle_update(update_id)
            if answer is not None:
                try:
                    self._client.answer(answer.method, answer.params)
                except TelegramError as error:
                    # Too late or unreachable: the message itself is edited anyway.
                    log.debug("%s came too late: %s", answer.method, error.description)

    def _send_menus(self) -> None:
        """Give Telegram the command menus, unless it has exactly these; nothing waits for it."""
        if self._menu_at is None or time.monotonic() < self._menu_at:
            return
        try:
            self._menu_at = time.monotonic() + MENU_RETRY_SECONDS
            self._send_changed_menus()
            self._menu_at = None
        except TelegramError as error:
            log.warning("the command menus could not be sent yet: %s", error.description)

    def _send_changed_menus(self) -> None:
        with self._app.app_context(), reading(), transaction():
            menus = menu.build_menus()
            row = queries.find_poller()
            known = row.menu_digest if row else None
        if known == menu.digest_of(menus):
            return
        sent = []
        for one in menus:
            try:
                self._client.set_commands(one)
            except (RecipientUnreachable, TelegramRefused) as error:
                # An admin who has not pressed Start; left out of the digest, so tried next time.
                level = logging.DEBUG if "chat_id" in one.scope else logging.WARNING
                log.log(level, "no command menu for %s: %s", one.scope, error.description)
            else:
                sent.append(one)
        with self._app.app_context(), transaction():
            poller.note_menus(menu.digest_of(sent))

    def _note_if_possible(self, error: TelegramError) -> float:
        try:
            self._note(in_words(error, self._client), type(error).__name__)
        except DATABASE_AWAY as away:
            self._database.begins(str(away).splitlines()[0])
        return self._pause(error)

    def _pause(self, error: TelegramError) -> float:
        if isinstance(error, TelegramUnauthorized):
            return WRONG_TOKEN_PAUSE_SECONDS
        if isinstance(error, TelegramBusy) and error.retry_after:
            return float(error.retry_after)
        self._failures += 1
        longest = min(LONGEST_PAUSE_SECONDS, 2.0 ** min(self._failures - 1, 6))
        return longest * random.uniform(0.5, 1.0)  # noqa: S311

    def _note(self, words: str | None, kind: str | None = None) -> None:
        """Log a problem when it begins and when it ends; store it for the readiness check, in the
        next turn if the database takes nothing now."""
        if kind != self._problem:
            self._problem = kind
            if words:
                log.error("Telegram: %s", words)
            else:
                log.info("Telegram answers again")
        lately = time.monotonic() - self._noted_at < NOTE_SECONDS
        if kind == self._noted and (words or lately):
            return
        with self._app.app_context(), transaction():
            returned = poller.note_poller(problem=words, bot_username=self._username)
        self._noted, self._noted_at = kind, time.monotonic()
        if returned is not None:
            self._tell(returned)

    def _tell(self, returned: PollerReturned) -> None:
        try:
            with self._app.app_context(), transaction():
                publish(returned)
        except DATABASE_AWAY:
            raise
        except Exception:
            log.exception("what follows from the absence could not be done")


class Poller(_Care):
    """One loop over getUpdates: fetch (no transaction), store, handle each, answer presses."""

    def __init__(self, app: Flask, client: BotClient, stop: Stop) -> None:
        super().__init__(app, client, stop)
        self._fetched = False

    def _start(self) -> None:
        """A webhook keeps updates from getUpdates: take it away, and what waits comes to us."""
        url = self._client.get_webhook().get("url")
        if url:
            self._client.delete_webhook()
            log.warning("the webhook %s was removed: TELEGRAM_MODE is polling", url)

    def _step(self) -> None:
        # The first fetch does not wait, so that readiness tells soon whether it works.
        self.turn(LONG_POLL_SECONDS if self._fetched else 0)
        self._send_menus()

    def turn(self, long_poll_seconds: int) -> None:
        """Fetch once, store, handle; TelegramError when nothing could be fetched."""
        self._learn_name()
        offset = self._offset()
        with self._stop.idle():
            found = self._client.get_updates(offset, long_poll_seconds)
        if self._stop.is_set():
            return  # leadership is lost: unconfirmed updates belong to the next leader
        self._failures, self._fetched = 0, True
        if found:
            with self._app.app_context(), transaction():
                updates.store_updates(found)
        self._handle_waiting()  # also what failed before and may be tried again
        self._note(None)  # last: what was decided just now need not be asked again

    def _offset(self) -> int | None:
        with self._app.app_context(), reading(), transaction():
            row = queries.find_poller()
            if row is None or not queries.is_heard_since(clock.now() - NUMBERS_LAST):
                return None
            return row.next_offset


class WebhookWatch(_Care):
    """Sets the webhook, sees every minute that it works, handles what was only stored."""

    def __init__(self, app: Flask, client: BotClient, stop: Stop, config: TelegramSettings) -> None:
        super().__init__(app, client, stop)
        self._config = config
        self._since = clock.now() - timedelta(seconds=1)  # Telegram's times have no fractions
        self._look_at = 0.0

    def _start(self) -> None:
        """Sets it even when the address is ours already: its secret can't be asked for."""
        self._learn_name()
        with self._app.app_context(), transaction():
            poller.forget_offset()
        if self._config.webhook_url:
            self._set()

    def _step(self) -> None:
        if time.monotonic() >= self._look_at:
            self.look()
            self._look_at = time.monotonic() + LOOK_SECONDS
        self._send_menus()
        self._rest(min(RETRY_SECONDS, LOOK_SECONDS))
        if not self._stop.is_set():
            self._handle_waiting()

    def look(self) -> None:
        """Ask how the webhook fares, put ours back if need be, and note it."""
        self._learn_name()
        info = self._client.get_webhook()
        ours, url = self._config.webhook_url, str(info.get("url") or "")
        if ours and url != ours:
            self._set()
            log.warning("the webhook was %s; it is ours again", url or "removed")
        self._failures = 0
        if not url and not ours:
            self._note("no webhook is set; set TELEGRAM_WEBHOOK_URL", "no webhook")
        else:
            trouble = self._trouble(info)
            self._note(trouble, trouble)

    def _set(self) -> None:
        config = self._config
        self._client.set_webhook(
            config.webhook_url, config.webhook_secret, config.webhook_connections
        )

    def _trouble(self, info: dict[str, Any]) -> str | None:
        """Telegram's last fault in bringing an update; over when one has come since."""
        if not info.get("last_error_date"):
            return None
        failed_at = datetime.fromtimestamp(int(info["last_error_date"]), UTC)
        with self._app.app_context(), reading(), transaction():
            received_at = queries.find_last_received_at()
        if failed_at < self._since or (received_at is not None and received_at > failed_at):
            return None
        return f"Telegram can't bring updates: {info.get('last_error_message')}"


def in_words(error: TelegramError, client: BotClient) -> str:
    """What went wrong and what to do, for people."""
    if isinstance(error, TelegramUnauthorized):
        return "TELEGRAM_BOT_TOKEN is refused (401); check it with @BotFather"
    if isinstance(error, TelegramConflict):
        return f"another program reads this bot's updates (409): {error.description}"
    if isinstance(error, TelegramBusy):
        return "too many requests (429)"
    if isinstance(error, TelegramRefused):
        return f"Telegram refuses: {error.description}"
    if client.proxy:
        what = "is TELEGRAM_PROXY right, and does it run?"
    elif client.address != OFFICIAL_API:
        what = "is TELEGRAM_API_URL right, and does that server run?"
    else:
        what = "is api.telegram.org filtered here?"
    return f"unreachable: {error.description}; {what}"
