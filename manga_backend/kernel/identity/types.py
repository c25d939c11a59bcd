"""Roles, kinds of sessions, and the values that sign-in passes around."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Role(StrEnum):
    """Each includes the ones before it."""

    USER = "user"
    SUPPORT = "support"
    ADMIN = "admin"
    SUPERUSER = "superuser"

    @property
    def rank(self) -> int:
        """0 for the least."""
        return list(Role).index(self)


class SessionKind(StrEnum):
    """Panel sign-ins (cookies) are counted apart from token sessions."""

    TOKEN = "token"  # noqa: S105
    PANEL = "panel"


class EndReason(StrEnum):
    """Why a session is over."""

    REPLACED = "replaced"
    SIGNED_OUT = "signed_out"
    BANNED = "banned"
    PASSWORD_CHANGED = "password_changed"  # noqa: S105
    REFRESH_REUSED = "refresh_reused"
    ROLE_CHANGED = "role_changed"
    ENDED_BY_ADMIN = "ended_by_admin"


@dataclass(frozen=True, slots=True)
class Door:
    """How a product is entered: how many sessions it allows, and whether initData by itself is a
    credential on its routes."""

    max_sessions: Callable[[], int]
    takes_init_data: bool = False


@dataclass(frozen=True, slots=True)
class Device:
    """From where a session was opened."""

    address: str | None = None
    user_agent: str | None = None


@dataclass(frozen=True, slots=True)
class Claims:
    """What a verified token says; the database has the last word."""

    user: str
    session_id: uuid.UUID
    salt: str
    generation: int


@dataclass(frozen=True, slots=True)
class TelegramProfile:
    """Somebody as Telegram vouches for them. `proof` names this very sign-in payload."""

    telegram_id: int
    first_name: str
    username: str | None
    language_code: str | None
    signed_at: datetime
    proof: str


@dataclass(frozen=True, slots=True)
class Tokens:
    """What a sign-in answers with."""

    access_token: str
    refresh_token: str
    expires_in: int
    token_type: str = "Bearer"  # noqa: S105
