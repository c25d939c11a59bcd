"""Accounts: registration, sign-in by password, bans and roles."""

from __future__ import annotations

import hashlib
import uuid

from sqlalchemy import RowMapping, select, update
from sqlalchemy.exc import IntegrityError

from manga_backend.kernel.backoffice.service import record_audit
from manga_backend.kernel.backoffice.types import Actor
from manga_backend.kernel.identity import domain, queries
from manga_backend.kernel.identity.errors import (
    Banned,
    CodeRequired,
    InvalidCredentials,
    RoleTooHigh,
    TelegramIdTaken,
    UsernameTaken,
    WrongPassword,
)
from manga_backend.kernel.identity.events import UserBanned, UserRegistered, UserUnbanned
from manga_backend.kernel.identity.models import Session, User
from manga_backend.kernel.identity.service import second_factor
from manga_backend.kernel.identity.service.sessions import (
    MAX_PANEL_SESSIONS,
    end_sessions,
    enter,
    lock_user,
    open_session,
)
from manga_backend.kernel.identity.types import Device, EndReason, Role, SessionKind, Tokens
from manga_backend.kit import clock
from manga_backend.kit import db as database
from manga_backend.kit.events import publish
from manga_backend.kit.principal import Principal

_credentials = select(User.id, User.password_hash, User.banned_at)


def register(
    username: str,
    password: str,
    telegram_id: int | None,
    *,
    language: str | None = None,
    role: Role = Role.USER,
) -> User:
    """A new account; the Telegram id is a claim until it is verified.

    Refusals: UsernameTaken, TelegramIdTaken. Publishes UserRegistered. The password is hashed
    before the transaction begins.
    """
    password_hash = domain.hash_password(password)
    user = User(
        username=username,
        username_key=domain.username_key(username),
        password_hash=password_hash,
        telegram_id=telegram_id,
        role=role,
        language=language,
        created_at=clock.now(),
    )
    current = database.session()
    current.add(user)
    try:
        current.flush()
    except IntegrityError as error:
        if database.violates(error, User.username_key):
            raise UsernameTaken from None
        if database.violates(error, User.telegram_id):
            raise TelegramIdTaken from None
        raise
    publish(UserRegistered(user_id=user.id))
    return user


def check_password(username: str, password: str) -> RowMapping:
    """Id and hash of the user with this name and password; outside of any transaction.

    InvalidCredentials for a wrong name or password alike; Banned only with the right password.
    """
    statement = _credentials.where(User.username_key == domain.username_key(username))
    row = database.read_one(statement, {})
    matches = domain.password_matches(row["password_hash"] if row else None, password)
    if row is None or not matches:
        raise InvalidCredentials
    if row["banned_at"] is not None:
        raise Banned
    return row


def _lock_checked(checked: RowMapping, password: str) -> User:
    """Lock the user whose password was checked; it may have been changed or banned meanwhile."""
    user = lock_user(checked["id"])
    if not _still_matches(user, checked, password):
        raise InvalidCredentials
    if user.banned_at is not None:
        raise Banned
    return user


def _still_matches(user: User, checked: RowMapping, password: str) -> bool:
    """Asks argon2 inside the transaction only if the hash was changed or renewed meanwhile."""
    unchanged = user.password_hash == checked["password_hash"]
    return unchanged or domain.password_matches(user.password_hash, password)


def sign_in(
    username: str,
    password: str,
    device: Device,
    code: str | None = None,
    product: str | None = None,
) -> Tokens:
    """Open a session by password and end the oldest beyond the limit of the product's door.

    Refusals: InvalidCredentials, Banned; for an account with an authenticator CodeRequired and
    CodeWrong; InvalidInput. Locks the user: of two sign-ins at once the later wins.
    """
    checked = check_password(username, password)
    weak = domain.needs_rehash(checked["password_hash"])
    stronger = domain.hash_password(password) if weak else None
    user = _lock_checked(checked, password)
    if queries.has_second_factor(user.id):
        if code is None:
            raise CodeRequired
        second_factor.prove(user.id, code)
    if stronger is not None:
        user.password_hash = stronger
    return enter(user, product, device)


def sign_in_to_panel(username: str, password: str, device: Device) -> tuple[User, Session | None]:
    """A cookie session for staff; others are refused as if the password were wrong. No session yet
    for whoever has an authenticator: `finish_sign_in_to_panel` with its code."""
    user = _lock_checked(check_password(username, password), password)
    if user.role.rank < Role.SUPPORT.rank:
        raise InvalidCredentials
    if queries.has_second_factor(user.id):
        return user, None
    return user, _open_panel_session(user, device)


def password_mark(user: User) -> str:
    """Changes with the password: what was begun with an old one is not finished."""
    return hashlib.sha256((user.password_hash or "").encode()).hexdigest()[:16]


def finish_sign_in_to_panel(
    user_id: int, mark: str, code: str, device: Device
) -> tuple[User, Session]:
    """After the password, whose `password_mark` this is, the code. CodeWrong; InvalidCredentials
    for whoever may not enter any more. Locks the user."""
    user = lock_user(user_id)
    may_enter = user.role.rank >= Role.SUPPORT.rank and user.banned_at is None
    if not may_enter or password_mark(user) != mark:
        raise InvalidCredentials
    second_factor.prove(user_id, code)
    return user, _open_panel_session(user, device)


def _open_panel_session(user: User, device: Device) -> Session:
    opened = open_session(
        user, product="panel", limit=MAX_PANEL_SESSIONS, device=device, kind=SessionKind.PANEL
    )
    opened.proven_at = opened.created_at
    return opened


def prove_again(user_id: int, session_id: uuid.UUID, typed: str) -> None:
    """Whoever holds this panel session shows once more who it is: by the code of the authenticator,
    or by the password where there is none. CodeWrong, WrongPassword."""
    if queries.has_second_factor(user_id):
        second_factor.prove(user_id, typed)
    else:
        row = database.read_one(select(User.password_hash).where(User.id == user_id), {})
        if row is None or not domain.password_matches(row["password_hash"], typed):
            raise WrongPassword
    database.session().execute(
        update(Session).where(Session.id == session_id).values(proven_at=clock.now())
    )


def change_password(caller: Principal, current_password: str, new_password: str) -> None:
    """Set a new password and end all other sessions of the user; WrongPassword."""
    row = database.read_one(select(User.password_hash).where(User.id == caller.user_id), {})
    if row is None or not domain.password_matches(row["password_hash"], current_password):
        raise WrongPassword
    new_hash = domain.hash_password(new_password)
    user = lock_user(caller.user_id)
    if not _still_matches(user, row, current_password):
        raise WrongPassword
    user.password_hash = new_hash
    end_sessions(user.id, EndReason.PASSWORD_CHANGED, but=caller.session_id)
    database.session().flush()


def set_password(user_id: int, new_password: str, actor: Actor) -> None:
    """By the command line: set a password and end every session."""
    new_hash = domain.hash_password(new_password)
    user = lock_user(user_id)
    user.password_hash = new_hash
    end_sessions(user.id, EndReason.PASSWORD_CHANGED)
    record_audit(actor, "user.password_set", "user", user.public_id)


def set_language(user_id: int, code: str) -> None:
    """The language of messages to this user; `code` is one of LANGUAGES. May run twice."""
    lock_user(user_id).language = code
    database.session().flush()


def ban(user_id: int, actor: Actor, actor_role: Role, reason: str | None) -> None:
    """Ban an account and end its sessions; banning twice changes nothing. RoleTooHigh."""
    user = lock_user(user_id)
    _may_touch(user, actor, actor_role)
    if user.banned_at is not None:
        return
    user.banned_at, user.ban_reason = clock.now(), reason
    end_sessions(user.id, EndReason.BANNED)
    database.session().flush()
    publish(UserBanned(user_id=user.id))
    record_audit(
        actor,
        "user.banned",
        "user",
        user.public_id,
        before={"banned_at": None},
        after={"banned_at": user.banned_at, "reason": reason},
    )


def unban(user_id: int, actor: Actor, actor_role: Role) -> None:
    """Lift a ban; lifting twice changes nothing. RoleTooHigh."""
    user = lock_user(user_id)
    _may_touch(user, actor, actor_role)
    if user.banned_at is None:
        return
    before = {"banned_at": user.banned_at, "reason": user.ban_reason}
    user.banned_at, user.ban_reason = None, None
    database.session().flush()
    publish(UserUnbanned(user_id=user.id))
    record_audit(
        actor, "user.unbanned", "user", user.public_id, before=before, after={"banned_at": None}
    )


def end_all_sessions(user_id: int, actor: Actor, actor_role: Role) -> int:
    """Sign a user out everywhere; returns how many sessions ended. RoleTooHigh."""
    user = lock_user(user_id)
    _may_touch(user, actor, actor_role)
    ended = end_sessions(user.id, EndReason.ENDED_BY_ADMIN)
    record_audit(actor, "user.sessions_ended", "user", user.public_id, after={"ended": ended})
    return ended


def reset_second_factor(user_id: int, actor: Actor, actor_role: Role) -> None:
    """For whoever lost the authenticator and the recovery codes: a password is enough again, and
    all sessions end. RoleTooHigh. Audited."""
    _may_touch(lock_user(user_id), actor, actor_role)
    end_sessions(user_id, EndReason.ENDED_BY_ADMIN)
    second_factor.turn_off(user_id, actor)


def set_role(user_id: int, role: Role, actor: Actor, actor_role: Role) -> None:
    """Give a role of at most one's own; panel and token sessions end, so that none keeps the old
    one. RoleTooHigh."""
    user = lock_user(user_id)
    _may_touch(user, actor, actor_role)
    if role.rank > actor_role.rank:
        raise RoleTooHigh
    before = user.role
    if before is role:
        return
    user.role = role
    end_sessions(user.id, EndReason.ROLE_CHANGED)
    database.session().flush()
    record_audit(
        actor,
        "user.role_changed",
        "user",
        user.public_id,
        before={"role": before.value},
        after={"role": role.value},
    )


def _may_touch(user: User, actor: Actor, actor_role: Role) -> None:
    itself = actor.user_id is not None and actor.user_id == user.id
    if itself or user.role.rank > actor_role.rank:
        raise RoleTooHigh
