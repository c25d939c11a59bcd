"""Kinds of channels and states, and to whom something is said."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum, StrEnum
from typing import Any

from manga_backend.kernel.telegram.types import Message, Reachability


class Channel(StrEnum):
    """By which way a notification goes."""

    TELEGRAM = "telegram"
    IN_APP = "in_app"


class Status(StrEnum):
    """new → sent | failed (will be tried again) | dead (given up) | unreachable | cancelled.

    new ↔ held while a broadcast is paused. `unreachable`: the recipient blocked the bot, is gone,
    or never pressed Start.
    """

    NEW = "new"
    SENT = "sent"
    FAILED = "failed"
    DEAD = "dead"
    UNREACHABLE = "unreachable"
    HELD = "held"
    CANCELLED = "cancelled"


class Priority(IntEnum):
    """The lanes; lower leaves first."""

    DECISION = 0
    RECEIPT = 1
    BULK = 2


@dataclass(frozen=True, slots=True)
class Contact:
    """How one user is reached; `chat_id` is their Telegram id, claimed or verified."""

    user_id: int
    chat_id: int | None
    language: str | None


@dataclass(frozen=True, slots=True)
class Letter:
    """A Telegram message that is to be written into the outbox."""

    chat_id: int
    message: Message
    kind: str
    subject: str | None = None
    priority: Priority = Priority.RECEIPT
    language: str | None = None
    user_id: int | None = None


@dataclass(frozen=True, slots=True)
class Outgoing:
    """What a sender needs to know; no row is held while it is sent."""

    id: int
    chat_id: int
    text: str
    buttons: dict[str, Any] | None
    edits_message_id: int | None
    priority: int
    reachability: Reachability
    leased_until: datetime
    """Also what the lease is known by: nobody touches a row that another one has claimed since."""


@dataclass(frozen=True, slots=True)
class Sent:
    """A message that left, and the number that Telegram gave it; an edit has none."""

    out: Outgoing
    message_id: int | None
