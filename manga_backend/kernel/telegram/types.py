"""What the bot hears and says, free of any library."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from manga_backend.kernel.backoffice.types import Actor

MAX_CALLBACK_BYTES = 64
MAX_ANSWER_CHARACTERS = 200


@dataclass(frozen=True, slots=True)
class Sender:
    """The person behind an update, as Telegram names them."""

    id: int
    language_code: str | None


class Reachability(StrEnum):
    """What Telegram last said about writing to a chat; a chat it never spoke of is unknown."""

    UNKNOWN = "unknown"
    ENABLED = "enabled"
    NEEDS_START = "needs_start"
    BLOCKED = "blocked"
    DEACTIVATED = "deactivated"

    @property
    def is_open(self) -> bool:
        """Whether a message may be tried."""
        return self in (Reachability.UNKNOWN, Reachability.ENABLED)


@dataclass(frozen=True, slots=True)
class Command:
    """`/name argument` in a private chat; `actor` is who acts when the command asks for a right."""

    sender: Sender
    name: str
    argument: str
    actor: Actor | None = None


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
class CheckoutQuestion:
    """Somebody is about to pay one of our invoices in Stars: may they? `payload` is what we gave
    the invoice. Telegram waits 10 seconds for the answer."""

    sender: Sender
    query_id: str
    payload: str
    amount: int
    currency: str


@dataclass(frozen=True, slots=True)
class Purchase:
    """One of our invoices was paid; `charge_id` names the payment at Telegram, once ever."""

    sender: Sender
    payload: str
    amount: int
    currency: str
    charge_id: str


class InvoiceHandler(Protocol):
    """What became of invoices that were sent to Telegram; both run inside a transaction."""

    def may_pay(self, question: CheckoutQuestion) -> bool:
        """Whether it is still owed, and exactly so much."""

    def paid(self, purchase: Purchase) -> None:
        """The money is there. May be told twice."""


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


@dataclass(frozen=True, slots=True)
class BotCommand:
    """A command and its line in the bot's menu.

    `description` is an English message id (N_), translated for each language's menu. With a
    `permission` it exists for whoever holds that right: for all others it is an unknown command.
    """

    handler: CommandHandler
    description: str
    permission: str | None = None


PressHandler = Callable[[Press], str]
"""Runs inside a transaction; returns the short text shown over the chat."""


@dataclass(frozen=True, slots=True)
class Menu:
    """The commands that clients offer in one BotCommandScope, for one language or all others."""

    scope: dict[str, Any]
    language_code: str | None
    commands: list[dict[str, str]]

    def as_json(self) -> list[Any]:
        """For the digest that tells one menu from another."""
        return [self.scope, self.language_code, self.commands]


@dataclass(frozen=True, slots=True)
class Contact:
    """A private chat says something about itself; `reachability` is what that shows."""

    chat_id: int
    reachability: Reachability
