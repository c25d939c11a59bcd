"""Reads of users and sessions."""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    RowMapping,
    Select,
    and_,
    bindparam,
    case,
    func,
    or_,
    select,
)

from manga_backend.kernel.identity.domain import username_key
from manga_backend.kernel.identity.errors import UserNotFound
from manga_backend.kernel.identity.models import RecoveryCode, SecondFactor, Session, User
from manga_backend.kernel.identity.types import Role
from manga_backend.kernel.notifications.types import Contact
from manga_backend.kit import clock
from manga_backend.kit.db import notes, session
from manga_backend.kit.settings import CoreSettings, settings

MOST_DIGITS = 17
"""More than any Telegram id has."""
ADMIN_ROLES = tuple(role for role in Role if role.rank >= Role.ADMIN.rank)


def _proved(telegram_id: int | ColumnElement[int]) -> ColumnElement[bool]:
    """Claims don't count: anyone may claim the id of another."""
    return and_(User.telegram_id == telegram_id, User.telegram_verified_at.is_not(None))


_CALLER: tuple[Any, ...] = (
    User.id.label("user_id"),
    User.username,
    User.role,
    User.language,
    User.banned_at,
)


def caller_statement() -> Select[Any]:
    """The one statement that checks a session: parameter `session_id`; routes widen it."""
    columns: tuple[Any, ...] = (
        Session.salt,
        Session.kind,
        Session.product,
        Session.ended_at,
        Session.end_reason,
        *_CALLER,
    )
    return (
        select(*columns)
        .join(User, User.id == Session.user_id)
        .where(Session.id == bindparam("session_id"))
    )


def telegram_caller_statement() -> Select[Any]:
    """The same for whoever proved a Telegram id: parameter `telegram_id`; and what was last told of
    the person, as `told_*`."""
    columns: tuple[Any, ...] = (
        *_CALLER,
        User.first_name.label("told_first_name"),
        User.telegram_username.label("told_username"),
        User.profile_at.label("told_at"),
    )
    return select(*columns).where(_proved(bindparam("telegram_id")))


def with_telegram(statement: Select[Any]) -> Select[Any]:
    """Widens the caller's statement by the Telegram id, None unless it is proved, and by how the
    person is called there."""
    proved = case((User.telegram_verified_at.is_not(None), User.telegram_id))
    return statement.add_columns(
        proved.label("telegram_id"), User.first_name, User.telegram_username, User.public_id
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


def keep(user: User) -> None:
    """The session forgets what nobody holds: with this the running transaction reads it no more."""
    notes().values.setdefault("identity.users", {})[user.id] = user


_USERS = select(User).where(User.id.in_(bindparam("user_ids", expanding=True)))


def find_users(user_ids: Collection[int]) -> dict[int, User]:
    """By our own keys, in one query; in none for those that the transaction has read before."""
    known: dict[int, User] = notes().values.setdefault("identity.users", {})
    if unknown := [user_id for user_id in user_ids if user_id not in known]:
        read = session().scalars(_USERS, {"user_ids": unknown})
        known.update((user.id, user) for user in read)
    return {user_id: known[user_id] for user_id in user_ids if user_id in known}


def find_user_by_username(username: str) -> User | None:
    """Without regard to case."""
    return session().scalar(select(User).where(User.username_key == username_key(username)))


def find_user_called(name: str) -> User | None:
    """By what admins type: the Telegram id that an account has proved, with or without the
    `telegram:` of its label, or a username. The id first: anyone may call themselves by another's
    number."""
    number = name.removeprefix("telegram:")
    user = None
    if number.isascii() and number.isdecimal() and len(number) < MOST_DIGITS:
        user = find_user_by_verified_telegram_id(int(number))
    return user or find_user_by_username(name)


def get_user_called(name: str) -> User:
    """The same; UserNotFound."""
    user = find_user_called(name)
    if user is None:
        raise UserNotFound
    return user


def list_newest_users(limit: int) -> list[User]:
    """Those who registered last, newest first."""
    return list(session().scalars(select(User).order_by(User.created_at.desc()).limit(limit)))


def count_users() -> RowMapping:
    """`all`, `linked` (a verified Telegram id) and `banned`, by one statement."""
    statement = select(
        func.count().label("all"),
        func.count(User.telegram_verified_at).label("linked"),
        func.count(User.banned_at).label("banned"),
    )
    return session().execute(statement).mappings().one()


def find_user_by_verified_telegram_id(telegram_id: int) -> User | None:
    """The account that proved this id; claims don't count."""
    return session().scalar(select(User).where(_proved(telegram_id)))


def find_language_of_telegram_id(telegram_id: int) -> str | None:
    """The language chosen in the profile that has this id."""
    return session().scalar(select(User.language).where(_proved(telegram_id)))


_TELEGRAM_ADMINS = (
    select(User.telegram_id, User.language)
    .where(
        User.telegram_verified_at.is_not(None),
        or_(
            and_(User.role.in_(ADMIN_ROLES), User.banned_at.is_(None)),
            User.telegram_id.in_(bindparam("listed", expanding=True)),
        ),
    )
    .order_by(User.id)
)


def list_telegram_admins(listed: Collection[int] = ()) -> dict[int, str | None]:
    """Verified Telegram id → language of the profile: of the accounts of role admin and above that
    are not banned, and of those that are listed."""
    rows = session().execute(_TELEGRAM_ADMINS, {"listed": list(listed)})
    return {row.telegram_id: row.language for row in rows}


def get_contact(user_id: int) -> Contact:
    """How to reach a user; a claimed Telegram id serves as well as a verified one."""
    user = get_user(user_id)
    return Contact(user_id=user.id, chat_id=user.telegram_id, language=user.language)


def find_second_factor(user_id: int) -> SecondFactor | None:
    """Confirmed or not, as it stands now."""
    return session().get(SecondFactor, user_id, populate_existing=True)


def has_second_factor(user_id: int) -> bool:
    """Whether a code is asked for beside the password."""
    found = find_second_factor(user_id)
    return found is not None and found.confirmed_at is not None


def count_recovery_codes(user_id: int) -> int:
    """How many are left."""
    left = select(func.count()).where(
        RecoveryCode.user_id == user_id, RecoveryCode.used_at.is_(None)
    )
    return session().scalar(left) or 0


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


def contacts(
    *,
    where: Callable[[ColumnElement[int]], ColumnElement[bool]],
    language: str | None = None,
    registered_by: datetime,
) -> Select[Any]:
    """Users to write to, in the order of their ids; who is banned is left out.

    `where` is given the column of their ids. Who chose no language counts as DEFAULT_LANGUAGE.
    """
    columns: tuple[Any, ...] = (User.id, User.telegram_id, User.language)
    statement = (
        select(*columns)
        .where(User.banned_at.is_(None), User.created_at <= registered_by)
        .where(where(User.id.expression))
        .order_by(User.id)
    )
    if language is None:
        return statement
    default = settings(CoreSettings).default_language
    return statement.where(func.coalesce(User.language, default) == language)


def list_contacts(statement: Select[Any], *, after: int, limit: int) -> list[Contact]:
    """The next of those `contacts` after an id."""
    rows = session().execute(statement.where(User.id > after).limit(limit))
    return [Contact(row.id, row.telegram_id, row.language) for row in rows]


def find_slice(statement: Select[Any], *, after: int, limit: int) -> tuple[int, int]:
    """The next of those `contacts` after an id: the id of the last of them, and how many they are;
    (`after`, 0) when there are none."""
    ids = statement.with_only_columns(User.id).where(User.id > after).limit(limit).subquery()
    found = session().execute(select(func.max(ids.c.id), func.count())).one()
    return (found[0] or after, found[1])


def slice_of(statement: Select[Any], *, after: int, upto: int) -> Select[Any]:
    """Those `contacts` with ids above `after`, up to and including `upto`."""
    return statement.where(User.id > after, User.id <= upto)


def count_contacts(statement: Select[Any], *, after: int = 0) -> int:
    """How many of those `contacts` come after an id."""
    counted = statement.where(User.id > after).order_by(None).subquery()
    return session().scalar(select(func.count()).select_from(counted)) or 0
