"""Who acted, and by which channel."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol


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
class MenuItem:
    """One line of the menu."""

    name: str
    url: str
    is_current: bool


@dataclass(frozen=True, slots=True)
class Section:
    """The newest rows of one list that are about one user; `url` leads to all of them,
    where the list can be narrowed to them."""

    title: str
    heads: list[str]
    rows: list[list[Any]]
    url: str | None


class Person(Protocol):
    """A user, as far as lists must know one."""

    id: int
    public_id: uuid.UUID


@dataclass(frozen=True, slots=True)
class Card:
    """One number on the dashboard, already written for the reader; `endpoint` leads to its list."""

    title: str
    value: str
    endpoint: str | None = None
    urgent: bool = False


@dataclass(frozen=True, slots=True)
class Bar:
    """One day of a chart; `shown` and `day` are written for the reader."""

    day: str
    value: int
    shown: str


@dataclass(frozen=True, slots=True)
class Chart:
    """What happened day by day; `endpoint` leads to its list."""

    title: str
    bars: list[Bar]
    total: str
    endpoint: str

    @property
    def highest(self) -> int:
        """Of all bars, and at least 1."""
        return max([1, *(bar.value for bar in self.bars)])


ChartSource = Callable[[], list[Chart]]
CardSource = Callable[[], list[Card]]
