"""The values that the stand-in keeps: people, chats, messages, presses, calls, refusals."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]

PREFIXES = {
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    409: "Conflict",
    429: "Too Many Requests",
    500: "Internal Server Error",
}


class ApiError(Exception):
    """A refusal in Telegram's words; `reason` comes without the "Bad Request: " in front."""

    def __init__(
        self,
        status: int,
        reason: str = "",
        *,
        retry_after: int | None = None,
        migrate_to_chat_id: int | None = None,
        delay_seconds: float = 0.0,
    ) -> None:
        prefix = PREFIXES.get(status, "Error")
        self.status = status
        self.description = f"{prefix}: {reason}" if reason else prefix
        self.retry_after = retry_after
        self.migrate_to_chat_id = migrate_to_chat_id
        self.delay_seconds = delay_seconds
        super().__init__(self.description)


def bad_request(reason: str) -> ApiError:
    return ApiError(400, reason)


def too_many_requests(seconds: int) -> ApiError:
    return ApiError(429, f"retry after {seconds}", retry_after=seconds)


class ConnectionDropped(Exception):
    """The connection is to be closed without an answer."""


class Clock:
    """The time of the stand-in, which a test may push forward."""

    def __init__(self) -> None:
        self.ahead_seconds = 0.0

    def now(self) -> float:
        return time.time() + self.ahead_seconds


class Monitor(threading.Condition):
    """The one lock of a stand-in; whoever waits for a change waits here.

    Those who wait for updates (polls, the courier) wait at `for_updates`, on the same lock: the
    messages of a broadcast must not wake them 1,500 times a second.
    """

    def __init__(self) -> None:
        lock = threading.RLock()
        super().__init__(lock)
        self.for_updates = threading.Condition(lock)
        self.version = 0
        self.down = False
        self._stop = threading.Event()

    @property
    def stopped(self) -> bool:
        return self._stop.is_set()

    def stop(self) -> None:
        self._stop.set()
        self.mark_updates()

    def mark(self) -> None:
        """Tells who waits that something changed; call it with the lock held."""
        self.version += 1
        self.notify_all()

    def mark_updates(self) -> None:
        """As mark(), and tells those who wait for updates; call it with the lock held."""
        self.mark()
        self.for_updates.notify_all()

    def rest(self, seconds: float) -> None:
        """Sleeps, but not past a stop."""
        if seconds > 0:
            self._stop.wait(seconds)


@dataclass(slots=True)
class Person:
    id: int
    first_name: str
    username: str | None = None
    language_code: str = "fa"

    def to_api(self) -> Json:
        user: Json = {"id": self.id, "is_bot": False, "first_name": self.first_name}
        if self.username:
            user["username"] = self.username
        user["language_code"] = self.language_code
        return user


@dataclass(slots=True)
class Message:
    """A message as it is now: `text` is plain, `html` is what was sent, `history` older texts."""

    chat_id: int
    message_id: int
    date: int
    text: str
    html: str
    entities: list[Json] = field(default_factory=list)
    sender_id: int | None = None  # None: the bot itself
    reply_markup: Json | None = None
    document: Json | None = None
    reply_to: int | None = None
    edit_date: int = 0
    history: list[str] = field(default_factory=list)

    @property
    def from_bot(self) -> bool:
        return self.sender_id is None

    @property
    def edited(self) -> bool:
        return self.edit_date > 0

    @property
    def buttons(self) -> list[Json]:
        """The inline buttons, row after row, as the Bot API writes them."""
        rows: list[list[Json]] = (self.reply_markup or {}).get("inline_keyboard", [])
        return [button for row in rows for button in row]


@dataclass(slots=True)
class Chat:
    """A private chat (then `title` is the person's name), a channel, a group or a supergroup.

    `closed` says why the bot can't write: "" (it can), "blocked" or "deactivated"; "stranger" (has
    never started the bot) or "unknown" (nobody that the bot could know); "kicked" or "left".
    """

    id: int
    type: str
    title: str
    username: str | None = None
    closed: str = ""
    can_post: bool = True
    migrated_to: int | None = None  # the supergroup that a group has become
    last_message_id: int = 0
    messages: dict[int, Message] = field(default_factory=dict)

    @property
    def is_private(self) -> bool:
        return self.type == "private"

    def to_api(self) -> Json:
        name_field = "first_name" if self.is_private else "title"
        chat: Json = {"id": self.id, "type": self.type, name_field: self.title}
        if self.username:
            chat["username"] = self.username
        return chat


@dataclass(slots=True)
class Callback:
    """One press of an inline button, and what the bot answered (None: nothing yet)."""

    id: str
    user_id: int
    chat_id: int
    message_id: int
    data: str
    expires_at: float
    answer: str | None = None
    show_alert: bool = False


@dataclass(slots=True)
class Call:
    """One Bot API request; `status` stays 0 while it is served, and when no answer went out."""

    method: str
    params: Json
    at: float
    status: int = 0
    description: str = ""
