"""Who acted, and by which channel."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol


class Channel(StrEnum):
    """By which door an action came in."""

    API = "api"
    PANEL = "panel"
    TELEGRAM = "telegram"
    CLI = "cli"
    SYSTEM = "system"


@dataclass(frozen=True, slots=True)
class Actor:
    """Someone who decides or changes something; `key` is stable, `label` is for people."""

    key: str
    label: str
    channel: Channel
    user_id: int | None = None
    address: str | None = None


CLI = Actor(key="cli", label="command line", channel=Channel.CLI)


@dataclass(frozen=True, slots=True)
class Visitor:
    """Whoever is signed in to the panel."""

    user_id: int
    label: str
    role: str
    permissions: frozenset[str]
    session_id: uuid.UUID
    language: str | None
    proven_at: datetime
    """When the visitor last showed who it is."""

    def can(self, permission: str) -> bool:
        """Whether the visitor holds the right."""
        return permission in self.permissions


class Gate(Protocol):
    """Knows who is signed in to the panel; the package that owns identities provides it."""

    def current(self) -> Visitor | None:
        """Whoever the request's cookie names."""


@dataclass(frozen=True, slots=True)
class Card:
    """One number on the dashboard, already written for the reader; `endpoint` leads to its list."""

    title: str
    value: str
    endpoint: str | None = None
    urgent: bool = False


CardSource = Callable[[], list[Card]]
