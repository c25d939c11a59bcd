"""Sessions: opened, refreshed, checked and ended."""

from __future__ import annotations

import uuid
from datetime import timedelta
from functools import cache

from sqlalchemy import bindparam, delete, select, update

from manga_backend.kernel.identity import queries
from manga_backend.kernel.identity.domain import new_salt
from manga_backend.kernel.identity.errors import (
    RefreshReused,
    SessionNotFound,
    SessionReplaced,
    SessionRevoked,
    TokenInvalid,
)
from manga_backend.kernel.identity.models import LinkCode, Session, User
from manga_backend.kernel.identity.service.tokens import issue_tokens, read_token, same_salt
from manga_backend.kernel.identity.settings import IdentitySettings
from manga_backend.kernel.identity.types import (
    Claims,
    Device,
    Door,
    EndReason,
    Role,
    SessionKind,
    Tokens,
)
from manga_backend.kit import clock
from manga_backend.kit import db as database
from manga_backend.kit.i18n import gettext, set_caller_language
from manga_backend.kit.prepared import PreparedRead
from manga_backend.kit.principal import Principal, Widen, grants
from manga_backend.kit.problems import InvalidInput
from manga_backend.kit.registry import Registry, extensions
from manga_backend.kit.settings import settings

doors: Registry[Door] = Registry("identity.doors")
"""By product: how many sessions it allows. A sign-in through /auth/* counts for the product that it
names, or for the first."""

_PERMISSIONS = "identity.permissions"
PANEL_HOURS = 12
MAX_PANEL_SESSIONS = 5
KEEP_ENDED = timedelta(days=90)


def door_of(product: str | None) -> tuple[str, Door]:
    """The product that a sign-in counts for. InvalidInput for one that is not on."""
    known = dict(doors.items())
    chosen = next(iter(known)) if product is None else product
    if chosen not in known:
        raise InvalidInput({"product": [gettext("There is no such product.")]})
    return chosen, known[chosen]


def enter(user: User, product: str | None, device: Device) -> Tokens:
    """A session of the product that was named, or of the first, and its tokens. The user's row must
    be locked. InvalidInput."""
    name, door = door_of(product)
    session = open_session(user, product=name, limit=door.max_sessions(), device=device)
    return issue_tokens(user, session)


_LOCKED_USER = (
    select(User)
    .where(User.id == bindparam("wanted"))
    .with_for_update(key_share=True)
    .execution_options(populate_existing=True)
)


def lock_user(user_id: int) -> User:
    """The user's row, held until the transaction ends: what must not run twice at once for a user
    takes it first. Foreign keys to it can still be checked (FOR NO KEY UPDATE)."""
    user = database.session().scalars(_LOCKED_USER, {"wanted": user_id}).one()
    queries.keep(user)
    return user


def open_session(
    user: User, *, product: str, limit: int, device: Device, kind: SessionKind = SessionKind.TOKEN
) -> Session:
    """A new session with a new salt; ends the oldest of that user and product beyond `limit`.

    The user's row must be locked by the caller, so that two sign-ins at once end each other.
    """
    current = database.session()
    now = clock.now()
    lifetime = (
        settings(IdentitySettings).refresh_lifetime
        if kind is SessionKind.TOKEN
        else timedelta(hours=PANEL_HOURS)
    )
    live = current.scalars(
        select(Session)
        .where(
            Session.user_id == user.id,
            Session.kind == kind,
            Session.product == product,
            Session.ended_at.is_(None),
        )
        .order_by(Session.id)
    ).all()
    for old in live[: max(0, len(live) - limit + 1)]:
        old.ended_at, old.end_reason = now, EndReason.REPLACED
    opened = Session(
        user_id=user.id,
        kind=kind,
        product=product,
        salt=new_salt(),
        generation=0,
        address=device.address,
        user_agent=(device.user_agent or "")[:300] or None,
        created_at=now,
        refreshed_at=now,
        expires_at=now + lifetime,
    )
    current.add(opened)
    current.flush()
    return opened


def authenticate(claims: Claims, widen: Widen | None) -> Principal:
    """Check a verified token's session with one statement, which `widen` may add columns to.

    Always asks the database: a banned user or an ended session is refused with the next request.
    """
    row = _statement(widen).read({"session_id": claims.session_id})
    if row is None or row["banned_at"] is not None or not same_salt(row["salt"], claims.salt):
        raise SessionRevoked
    if row["ended_at"] is not None:
        replaced = row["end_reason"] is EndReason.REPLACED
        raise SessionReplaced if replaced else SessionRevoked
    if row["kind"] is not SessionKind.TOKEN:
        raise TokenInvalid
    set_caller_language(row["language"])
    return Principal(
        user_id=row["user_id"],
        session_id=claims.session_id,
        product=row["product"],
        permissions=permissions_of(row["role"]),
        row=row,
    )


@cache
def _statement(widen: Widen | None) -> PreparedRead:
    statement = queries.caller_statement()
    return PreparedRead(widen(statement) if widen else statement)


def permissions_of(role: Role) -> frozenset[str]:
    """All rights whose least role this role includes; worked out once for each app."""
    known: dict[Role, frozenset[str]] = extensions().setdefault(_PERMISSIONS, {})
    if role not in known:
        known[role] = frozenset(
            right for right, least in grants.items() if Role(least).rank <= role.rank
        )
    return known[role]


def refresh(token: str) -> Tokens:
    """New tokens for a refresh token of the current generation, or the one before it.

    The current one moves the generation on. The one before it (two tabs, a lost answer, a client
    that always sends its first) gets tokens of the current generation. An older one ends the
    session: RefreshReused, which is kept. Locks the session.
    """
    claims = read_token(token, "refresh")
    current = database.session()
    found = current.execute(
        select(Session, User)
        .join(User, User.id == Session.user_id)
        .where(Session.id == claims.session_id)
        .with_for_update(of=Session)
    ).first()
    if found is None:
        raise SessionRevoked
    session, user = found.Session, found.User
    if session.kind is not SessionKind.TOKEN:
        raise TokenInvalid
    if session.ended_at is not None:
        raise SessionReplaced if session.end_reason is EndReason.REPLACED else SessionRevoked
    if user.banned_at is not None or not same_salt(session.salt, claims.salt):
        raise SessionRevoked
    now = clock.now()
    if claims.generation < session.generation - 1:
        session.ended_at, session.end_reason = now, EndReason.REFRESH_REUSED
        current.flush()
        raise RefreshReused
    if claims.generation > session.generation:
        raise TokenInvalid
    if claims.generation == session.generation:
        session.generation += 1
    session.refreshed_at = now
    session.expires_at = now + settings(IdentitySettings).refresh_lifetime
    current.flush()
    return issue_tokens(user, session)


def end_session(user_id: int, session_id: uuid.UUID, reason: EndReason) -> None:
    """End one live session of this user; SessionNotFound for any other."""
    if not _end_one(user_id, session_id, reason):
        raise SessionNotFound


def sign_out(user_id: int, session_id: uuid.UUID) -> None:
    """End the caller's own session; may run twice at once."""
    _end_one(user_id, session_id, EndReason.SIGNED_OUT)


def _end_one(user_id: int, session_id: uuid.UUID, reason: EndReason) -> bool:
    done = database.session().execute(
        update(Session)
        .where(Session.id == session_id, Session.user_id == user_id, Session.ended_at.is_(None))
        .values(ended_at=clock.now(), end_reason=reason)
    )
    return bool(done.rowcount)  # type: ignore[attr-defined]


def end_sessions(user_id: int, reason: EndReason, *, but: uuid.UUID | None = None) -> int:
    """End all live sessions of a user, except one; returns how many. May run twice."""
    statement = update(Session).where(Session.user_id == user_id, Session.ended_at.is_(None))
    if but is not None:
        statement = statement.where(Session.id != but)
    done = database.session().execute(statement.values(ended_at=clock.now(), end_reason=reason))
    return int(done.rowcount)  # type: ignore[attr-defined]


def purge_sessions_and_codes() -> None:
    """Forget sessions that are over since 90 days, and link codes that are over."""
    now = clock.now()
    with database.transaction() as current:
        current.execute(delete(Session).where(Session.expires_at < now - KEEP_ENDED))
        current.execute(delete(LinkCode).where(LinkCode.expires_at < now))
