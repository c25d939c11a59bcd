"""Audiences and states of a broadcast."""

from __future__ import annotations

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
