"""The stand-in as tests hold it: start, stop, what people do, and what the bot has done."""

from __future__ import annotations

import copy
import threading
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from .control import ControlApi
from .dispatch import Dispatcher
from .limits import Fault, FaultQueue, Limits, RateLimiter
from .messages import MessageMethods
from .methods import BotApi
from .model import Call, Message
from .server import LOOPBACK, Server
from .state import State
from .storage import StateFile
from .updates import UpdateRecord
from .webhook import WebhookCourier


class BotApiStandIn:
    """A Bot API server on loopback; the Bot API is at `{url}/bot<token>/<method>`.

    `open_chats`: every positive chat id is a user who has started the bot. `limits`: answer 429 as
    Telegram does (None: never). All methods may be called from any thread.
    """

    def __init__(
        self,
        token: str = "1000:stand-in",
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        state_file: Path | None = None,
        open_chats: bool = False,
        callback_ttl_seconds: float = 150.0,
        username: str = "two_manga_bot",
        limits: Limits | None = None,
    ) -> None:
        if host not in LOOPBACK:
            raise ValueError(f"the stand-in listens on loopback only, not on {host}")
        self.token = token
        self._state = State(
            int(token.partition(":")[0]),
            username,
            open_chats=open_chats,
            callback_ttl_seconds=callback_ttl_seconds,
        )
        self._faults = FaultQueue()
        self._file = StateFile(state_file, self._state) if state_file else None
        self._courier = WebhookCourier(self._state)
        messages = MessageMethods(self._state, RateLimiter(limits) if limits else None)
        api = BotApi(self._state, messages)
        dispatcher = Dispatcher(token, self._state, api, self._faults)
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
            self._state.monitor.stopped = True
            self._state.monitor.mark()
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

    # --- what people do ---------------------------------------------------------------------

    def send_text(
        self,
        user_id: int,
        text: str,
        *,
        first_name: str | None = None,
        username: str | None = None,
        language_code: str | None = None,
    ) -> int:
        """Writes to the bot in private, which opens the chat; the update's id, 0 if not wanted."""
        self.add_person(
            user_id, first_name=first_name, username=username, language_code=language_code
        )
        return self._state.receive_text(user_id, text)

    def add_person(
        self,
        user_id: int,
        *,
        first_name: str | None = None,
        username: str | None = None,
        language_code: str | None = None,
    ) -> None:
        """Names a person without opening a chat."""
        self._state.person(
            user_id, first_name=first_name, username=username, language_code=language_code
        )

    def open_chat(self, user_id: int) -> None:
        """The user has started the bot, without an update to tell of it."""
        self._state.open_private_chat(user_id)

    def press(
        self,
        user_id: int,
        message_id: int,
        *,
        chat_id: int | None = None,
        text_contains: str | None = None,
        data: str | None = None,
    ) -> str:
        """Presses the first fitting callback button of a message; the callback query's id."""
        message = self.message(user_id if chat_id is None else chat_id, message_id)
        for button in message.buttons:
            if "callback_data" not in button:
                continue
            fits_text = text_contains is None or text_contains in button["text"]
            if fits_text and data in (None, button["callback_data"]):
                return self.press_raw(user_id, message_id, button["callback_data"], chat_id)
        raise AssertionError(f"no such button; message {message_id} has {message.buttons}")

    def press_raw(
        self, user_id: int, message_id: int, data: str, chat_id: int | None = None
    ) -> str:
        """A client that says it pressed a button with any data at all."""
        chat = user_id if chat_id is None else chat_id
        self.message(chat, message_id)
        return self._state.press(user_id, chat, message_id, data)

    def block(self, user_id: int) -> None:
        self._state.close_chat(user_id, "blocked")

    def unblock(self, user_id: int) -> None:
        self._state.close_chat(user_id, "")

    def deactivate(self, user_id: int) -> None:
        self._state.close_chat(user_id, "deactivated")

    def add_group(
        self, chat_id: int, title: str, type: Literal["channel", "supergroup"] = "channel"
    ) -> None:
        """The bot becomes a member of a channel or a group; again after a kick."""
        if chat_id >= 0 or type not in ("channel", "supergroup"):
            raise ValueError("a channel or supergroup has a negative id")
        self._state.add_group(chat_id, title, type)

    def kick(self, chat_id: int) -> None:
        self._state.close_chat(chat_id, "kicked")

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
        self._state.wait_until(lambda: callback_id in self.callback_answers(), timeout)
        answers = self.callback_answers()
        if callback_id not in answers:
            raise AssertionError(f"callback query {callback_id} was not answered")
        return answers[callback_id]

    def calls(self, method: str | None = None) -> list[Call]:
        """Every Bot API request with a valid token, oldest first."""
        with self._state.monitor:
            calls = [call for call in self._state.calls if method in (None, call.method)]
            return copy.deepcopy(calls)

    def commands(self) -> dict[str, list[dict[str, str]]]:
        """What setMyCommands left: JSON of [scope, language] → commands."""
        with self._state.monitor:
            return copy.deepcopy(self._state.commands)

    def file(self, file_id: str) -> bytes:
        """The content of a document that the bot sent."""
        return self._state.files[file_id]

    def pending_updates(self) -> int:
        with self._state.monitor:
            self._state.updates.expire()
            return len(self._state.updates.pending)

    def update_log(self) -> list[UpdateRecord]:
        """Every update since the start: how often it was handed out, and what became of it."""
        with self._state.monitor:
            return copy.deepcopy(list(self._state.updates.records.values()))

    @property
    def poll_waiting(self) -> bool:
        """A getUpdates request is waiting for updates right now."""
        return self._state.updates.is_polled

    @property
    def concurrent_polls_seen(self) -> int:
        """How many polls of a living client were ended by another getUpdates (409)."""
        return self._state.updates.conflicts_seen

    # --- trouble ----------------------------------------------------------------------------

    def fail_next(
        self,
        method: str,
        count: int = 1,
        *,
        status: int = 500,
        description: str = "",
        retry_after: int | None = None,
        garbage: bool = False,
        delay: float = 0.0,
        drop_connection: bool = False,
    ) -> None:
        """Spoils the next calls of a method ("*": of any).

        With `status=200` the method is carried out, and only its answer suffers: late, garbage or
        lost. With any other status nothing is done. `delay` is in seconds.
        """
        self._faults.add(
            Fault(
                method.lower(),
                count,
                status,
                description,
                retry_after,
                garbage,
                delay,
                drop_connection,
            )
        )

    def clear_faults(self) -> None:
        self._faults.clear()

    def go_down(self) -> None:
        """An outage: Bot API connections are closed without an answer, waiting polls too."""
        self._set_down(True)

    def come_back(self) -> None:
        self._set_down(False)

    def _set_down(self, down: bool) -> None:
        with self._state.monitor:
            self._state.monitor.down = down
            self._state.monitor.mark()
