"""Kinds of channels and states, and to whom something is said."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, StrEnum


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
