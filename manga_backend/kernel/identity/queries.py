"""Reads of users and sessions."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Select, and_, bindparam, select

from manga_backend.kernel.identity.domain import username_key
from manga_backend.kernel.identity.errors import UserNotFound
from manga_backend.kernel.identity.models import Session, User
from manga_backend.kernel.identity.types import Role
from manga_backend.kernel.notifications.types import Contact
from manga_backend.kit import clock
from manga_backend.kit.db import session

ADMIN_ROLES = tuple(role for role in Role if role.rank >= Role.ADMIN.rank)


def _proved(telegram_id: int) -> ColumnElement[bool]:
    """Claims don't count: anyone may claim the id of another."""
    return and_(User.telegram_id == telegram_id, User.telegram_verified_at.is_not(None))


def caller_statement() -> Select[Any]:
    """The one statement that checks a session: parameter `session_id`; routes widen it."""
    columns: tuple[Any, ...] = (
        Session.salt,
        Session.kind,
        Session.ended_at,
        Session.end_reason,
        User.id.label("user_id"),
        User.username,
        User.role,
        User.language,
        User.banned_at,
    )
    return (
        select(*columns)
        .join(User, User.id == Session.user_id)
        .where(Session.id == bindparam("session_id"))
    )


def find_user(user_id: int) -> User | None:
    """By our own key."""
    return session().get(User, user_id)


def get_user(user_id: int) -> User:
    """By our own key; UserNotFound."""
    user = find_user(user_id)
    if user is None:
        raise UserNotFound
    return user


def find_user_by_username(username: str) -> User | None:
    """Without regard to case."""
    return session().scalar(select(User).where(User.username_key == username_key(username)))


def find_user_by_verified_telegram_id(telegram_id: int) -> User | None:
    """The account that proved this id; claims don't count."""
    return session().scalar(select(User).where(_proved(telegram_id)))


def find_language_of_telegram_id(telegram_id: int) -> str | None:
    """The language chosen in the profile that has this id."""
    return session().scalar(select(User.language).where(_proved(telegram_id)))


def list_telegram_admins() -> list[User]:
    """Accounts of role admin and above, not banned, whose Telegram id is verified."""
    return list(
        session().scalars(
            select(User)
            .where(
                User.role.in_(ADMIN_ROLES),
                User.telegram_verified_at.is_not(None),
                User.banned_at.is_(None),
            )
            .order_by(User.id)
        )
    )


def languages_of(telegram_ids: list[int]) -> dict[int, str | None]:
    """The profiles' languages of several Telegram ids, by one query."""
    rows = session().execute(
        select(User.telegram_id, User.language).where(
            User.telegram_id.in_(telegram_ids), User.telegram_verified_at.is_not(None)
        )
    )
    return {row.telegram_id: row.language for row in rows}


def get_contact(user_id: int) -> Contact:
    """How to reach a user; a claimed Telegram id serves as well as a verified one."""
    user = get_user(user_id)
    return Contact(user_id=user.id, chat_id=user.telegram_id, language=user.language)


def live_sessions(user_id: int) -> Select[Any]:
    """A user's sessions that have not ended, newest first."""
    return (
        select(Session)
        .where(
            Session.user_id == user_id,
            Session.ended_at.is_(None),
            Session.expires_at > clock.now(),
        )
        .order_by(Session.id.desc())
    )


def list_live_sessions(user_id: int) -> list[Session]:
    """All of them."""
    return list(session().scalars(live_sessions(user_id)))


def has_superuser() -> bool:
    """Whether anyone could manage this deployment already."""
    found = session().scalar(select(User.id).where(User.role == Role.SUPERUSER).limit(1))
    return found is not None
