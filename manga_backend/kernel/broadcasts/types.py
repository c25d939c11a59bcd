"""Audiences and states of a broadcast, and how far it is."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Audience(StrEnum):
    """Whom it is for; product and language narrow it further."""

    ALL = "all"
    ACTIVE = "active"
    EXPIRING = "expiring"
    EXPIRED = "expired"


class State(StrEnum):
    """draft → running ⇄ paused → finished | cancelled."""

    DRAFT = "draft"
    RUNNING = "running"
    PAUSED = "paused"
    FINISHED = "finished"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Draft:
    """What an admin writes: language → Telegram HTML, and for whom."""

    texts: dict[str, str]
    audience: Audience = Audience.ALL
    product: str | None = None
    language: str | None = None


@dataclass(frozen=True, slots=True)
class Preview:
    """How many users would get it now, and what the readers of each language would read."""

    audience: int
    texts: dict[str, str]


@dataclass(frozen=True, slots=True)
class Counts:
    """How a broadcast fares. All but `audience` and `left` count Telegram messages.

    `left` are users whose turn has not come; whoever has no Telegram id has it in the inbox alone.
    """

    audience: int
    queued: int
    sent: int
    blocked: int
    failed: int
    waiting: int
    cancelled: int
    left: int


@dataclass(frozen=True, slots=True)
class Report:
    """A broadcast with its counts, as it was read."""

    id: uuid.UUID
    texts: dict[str, str]
    audience: Audience
    product: str | None
    language: str | None
    state: State
    created_by_label: str
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    counts: Counts
    percent: int
