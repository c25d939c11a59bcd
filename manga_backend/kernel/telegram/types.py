"""What the bot hears and says, free of any library."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

MAX_CALLBACK_BYTES = 64
MAX_ANSWER_CHARACTERS = 200


@dataclass(frozen=True, slots=True)
class Sender:
    """The person behind an update, as Telegram names them."""

    id: int
    language_code: str | None


@dataclass(frozen=True, slots=True)
class Command:
    """`/name argument` in a private chat."""

    sender: Sender
    name: str
    argument: str


@dataclass(frozen=True, slots=True)
class Press:
    """A button of one of our messages was pressed; `data` is whatever the client sent."""

    sender: Sender
    query_id: str
    data: str

    @property
    def argument(self) -> str:
        """What follows the first colon."""
        return self.data.partition(":")[2]


@dataclass(frozen=True, slots=True)
class Button:
    """An inline button: `data` (1–64 bytes) comes back when pressed, `url` opens a page."""

    text: str
    data: str | None = None
    url: str | None = None

    def __post_init__(self) -> None:
        if self.data is not None and not 1 <= len(self.data.encode()) <= MAX_CALLBACK_BYTES:
            raise ValueError("callback data has 1 to 64 bytes")

    def as_json(self) -> dict[str, str]:
        """The Bot API's InlineKeyboardButton."""
        if self.url is not None:
            return {"text": self.text, "url": self.url}
        return {"text": self.text, "callback_data": self.data or ""}


@dataclass(frozen=True, slots=True)
class Message:
    """HTML text with rows of buttons."""

    text: str
    buttons: list[list[Button]] = field(default_factory=list)

    def buttons_json(self) -> dict[str, Any] | None:
        """The rows as they are stored, or None."""
        if not self.buttons:
            return None
        return {"rows": [[button.as_json() for button in row] for row in self.buttons]}


CommandHandler = Callable[[Command], Message | None]
"""Runs inside a transaction; the message it returns goes to the sender through the outbox."""

PressHandler = Callable[[Press], str]
"""Runs inside a transaction; returns the short text shown over the chat."""
