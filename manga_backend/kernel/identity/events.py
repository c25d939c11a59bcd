"""What happened to accounts."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class UserRegistered:
    """A new account."""

    user_id: int


@dataclass(frozen=True, kw_only=True)
class UserBanned:
    """An account was banned."""

    user_id: int


@dataclass(frozen=True, kw_only=True)
class UserUnbanned:
    """A ban was lifted."""

    user_id: int
