"""The stand-in as tests hold it: start, stop, what people do, and what the bot has done."""

from __future__ import annotations

import copy
import threading
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from .acts import Acts
from .control import ControlApi
from .dispatch import Dispatcher
from .limits import FaultQueue, Limits, RateLimiter
from .messages import MessageMethods
from .methods import BotApi
from .model import Call, Message
from .server import LOOPBACK, Server
from .stars import Stars
from .state import State
from .storage import StateFile
from .updates import UpdateRecord
from .webhook import WebhookCourier


class BotApiStandIn(Acts):
    """A Bot API server on loopback; the Bot API is at `{url}/bot<token>/<method>`.

    `open_chats`: every positive chat id is a user who has started the bot. `limits`: answer 429 as
    Telegram does (None: never). For load tests: `keep_calls=False` keeps no list of calls, and
    `keep_last` only so many messages of each chat. `webhook_retry_seconds`: the longest wait before
    an update is delivered again (None: as Telegram, up to 60 s and longer if asked for).
    All methods may be called from any thread.
    """

    def __init__(
        self,
        token: str = "1000:stand-in",
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        state_file: Path | None = None,
        open_chats: bool = False,
        callback_life_seconds: float = 150.0,
        username: str = "two_manga_bot",
        limits: Limits | None = None,
        keep_calls: bool = True,
        keep_last: int | None = None,
        webhook_retry_seconds: float | None = None,
    ) -> None:
        if host not in LOOPBACK:
            raise ValueError(f"the stand-in listens on loopback only, not on {host}")
        self.token = token
        self._state = State(
            int(token.partition(":")[0]),
            username,
            open_chats=open_chats,
            callback_life_seconds=callback_life_seconds,
            keep_last=keep_last,
        )
        self._faults = FaultQueue()
        self._file = StateFile(state_file, self._state) if state_file else None
        messages = MessageMethods(self._state, RateLimiter(limits) if limits else None)
        self._stars = Stars(self._state)
        api = BotApi(self._state, messages, self._stars)
        dispatcher = Dispatcher(token, self._state, api, self._faults, keep_calls=keep_calls)
        self._counts = dispatcher.counts
        self._courier = WebhookCourier(self._state, dispatcher, webhook_retry_seconds)
        self._server = Server((host, port), dispatcher, ControlApi(self, self._state))
        self.url = f"http://{host}:{self._server.server_address[1]}"
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.05,), name="telegram-stand-in", daemon=True
        )

    # --- life -------------------------------------------------------------------------------

    def start(self) -> Self:
        self._thread.start()
        self._courier.start()
        if self._file:
            self._file.start()
        return self

    def stop(self) -> None:
        """Closes everything; the state file then holds the last state. A second call is fine."""
        with self._state.monitor:
            if self._state.monitor.stopped:
                return
            self._state.monitor.stop()
        if self._thread.is_alive():
            self._server.shutdown()
            if self._file:
                self._file.stop()
        self._server.server_close()
        self._server.hang_up()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    # --- what the bot has done --------------------------------------------------------------

    def messages(self, chat_id: int) -> list[Message]:
        """The chat as it is now, oldest first; copies, that change no more."""
        with self._state.monitor:
            chat = self._state.chats.get(chat_id)
            return copy.deepcopy(list(chat.messages.values())) if chat else []

    def message(self, chat_id: int, message_id: int) -> Message:
        for message in self.messages(chat_id):
            if message.message_id == message_id:
                return message
        raise AssertionError(f"chat {chat_id} has no message {message_id}")

    def wait_for_message(
        self,
        chat_id: int,
        contains: str | None = None,
        timeout: float = 10.0,
        after_message_id: int = 0,
    ) -> Message:
        """The first message of the bot that fits, edits included; AssertionError tells what is."""

        def fits(message: Message) -> bool:
            is_later = message.from_bot and message.message_id > after_message_id
            return is_later and (
                not contains or contains in message.text or contains in message.html
            )

        def first_fitting() -> Message | None:
            chat = self._state.chats.get(chat_id)
            return next(filter(fits, chat.messages.values()), None) if chat else None

        with self._state.monitor:
            self._state.wait_until(lambda: first_fitting() is not None, timeout)
            found = copy.deepcopy(first_fitting())
        if found is None:
            there = [(message.message_id, message.text) for message in self.messages(chat_id)]
            raise AssertionError(f"no message with {contains!r} in chat {chat_id}; there: {there}")
        return found

    def callback_answers(self) -> dict[str, str]:
        """Callback query id → the text that it was answered with."""
        with self._state.monitor:
            callbacks = self._state.callbacks.values()
            return {c.id: c.answer for c in callbacks if c.answer is not None}

    def wait_for_callback_answer(self, callback_id: str, timeout: float = 10.0) -> str:
        def is_answered() -> bool:
            callback = self._state.callbacks.get(callback_id)
            return callback is not None and callback.answer is not None

        self._state.wait_until(is_answered, timeout)
        answers = self.callback_answers()
        if callback_id not in answers:
            raise AssertionError(f"callback query {callback_id} was not answered")
        return answers[callback_id]

    def calls(self, method: str | None = None) -> list[Call]:
        """Every Bot API request with a valid token, oldest first."""
        calls = list(self._state.calls)  # in one step, while others go on to append
        return copy.deepcopy([call for call in calls if method in (None, call.method)])

    def counts(self) -> dict[str, Any]:
        """Numbers since the start, or since reset_counts().

        `sent` messages, `refused_429` by the limits, `other_errors` and `errors_by_status`,
        `injected` by fail_next(); `first_at` and `last_at` (Unix time) of the messages, and how
        many there were `per_second` counted from the first.
        """
        return self._counts.to_json()

    def reset_counts(self) -> None:
        self._counts.reset()

    def commands(self) -> dict[str, list[dict[str, str]]]:
        """What setMyCommands left: JSON of [scope, language] → commands."""
        with self._state.monitor:
            return copy.deepcopy(self._state.commands)

    def file(self, file_id: str) -> bytes:
        """The content of a document that the bot sent."""
        return self._state.files[file_id]

    def forget_updates(self) -> None:
        """What nobody has confirmed is not delivered any more, as with drop_pending_updates."""
        self._state.updates.forget_all()

    def pending_updates(self) -> int:
        with self._state.monitor:
            self._state.updates.expire()
            return len(self._state.updates.pending)

    def update_log(self) -> list[UpdateRecord]:
        """Every update since the start: how often it was handed out, and what became of it."""
        with self._state.monitor:
            self._state.updates.expire()
            return copy.deepcopy(list(self._state.updates.records.values()))

    @property
    def poll_waiting(self) -> bool:
        """A getUpdates request is waiting for updates right now."""
        return self._state.updates.is_polled

    @property
    def concurrent_polls_seen(self) -> int:
        """How many polls of a living client were ended by another getUpdates (409)."""
        return self._state.updates.conflicts_seen
