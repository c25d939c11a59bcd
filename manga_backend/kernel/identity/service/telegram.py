"""Linking a Telegram id to an account."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from markupsafe import escape
from sqlalchemy import select, update

from manga_backend.kernel.backoffice.service import record_audit
from manga_backend.kernel.backoffice.types import Actor, Channel
from manga_backend.kernel.identity.domain import code_hash, new_link_code
from manga_backend.kernel.identity.errors import LinkCodeInvalid, TelegramIdTaken
from manga_backend.kernel.identity.models import LinkCode, User
from manga_backend.kernel.identity.queries import find_user_by_verified_telegram_id
from manga_backend.kernel.identity.service.sessions import lock_user, permissions_of
from manga_backend.kernel.identity.types import Role
from manga_backend.kernel.notifications.service.outbox import notify_chat
from manga_backend.kernel.notifications.types import Priority
from manga_backend.kernel.telegram.queries import find_poller
from manga_backend.kernel.telegram.settings import TelegramSettings
from manga_backend.kernel.telegram.types import Message
from manga_backend.kit import clock
from manga_backend.kit import db as database
from manga_backend.kit.i18n import gettext, in_language
from manga_backend.kit.settings import CoreSettings, settings

LISTED_ROLE = Role.ADMIN
"""What TELEGRAM_ADMIN_IDS makes of someone."""
LINK_LIFETIME = timedelta(minutes=15)


@dataclass(frozen=True, slots=True)
class Link:
    """A code that /start takes once; `url` opens the bot with it, None until its name is known."""

    code: str
    url: str | None
    expires_at: datetime


def make_link(user_id: int) -> Link:
    """A new code for this account; older unused ones stop working."""
    lock_user(user_id)
    now = clock.now()
    current = database.session()
    current.execute(
        update(LinkCode)
        .where(LinkCode.user_id == user_id, LinkCode.used_at.is_(None))
        .values(used_at=now)
    )
    code = new_link_code()
    expires_at = now + LINK_LIFETIME
    current.add(
        LinkCode(code_hash=code_hash(code), user_id=user_id, created_at=now, expires_at=expires_at)
    )
    current.flush()
    poller = find_poller()
    name = poller.bot_username if poller else None
    url = f"https://t.me/{name}?start={code}" if name else None
    return Link(code=code, url=url, expires_at=expires_at)


def verify_telegram_id(code: str, telegram_id: int) -> User:
    """/start CODE: this Telegram id belongs to the account that asked for the code.

    Takes the id over from an account that only claimed it; TelegramIdTaken if another one has
    proved it. LinkCodeInvalid for a code that is unknown, used or over. Works once.
    """
    current = database.session()
    now = clock.now()
    valid = (
        LinkCode.code_hash == code_hash(code),
        LinkCode.used_at.is_(None),
        LinkCode.expires_at > now,
    )
    owner = current.scalar(select(LinkCode.user_id).where(*valid))
    if owner is None:
        raise LinkCodeInvalid
    # Users before codes, as make_link locks them.
    holders = current.scalars(
        select(User)
        .where((User.id == owner) | (User.telegram_id == telegram_id))
        .order_by(User.id)
        .with_for_update(key_share=True)
    ).all()
    link = current.scalar(select(LinkCode).where(*valid).with_for_update())
    if link is None:
        raise LinkCodeInvalid
    user = next(holder for holder in holders if holder.id == owner)
    for other in holders:
        if other is user:
            continue
        if other.telegram_verified_at is not None:
            raise TelegramIdTaken
        other.telegram_id = None
        current.flush()  # the id must be free before it is taken
    link.used_at = now
    before = user.telegram_id if user.telegram_verified_at is not None else None
    user.telegram_id, user.telegram_verified_at = telegram_id, now
    current.flush()
    if before not in (None, telegram_id):
        _tell_replaced(user, before)
    if user.role is not Role.USER:
        who = Actor(f"telegram:{telegram_id}", f"telegram:{telegram_id}", Channel.TELEGRAM)
        record_audit(
            who,
            "user.telegram_linked",
            "user",
            user.public_id,
            before={"telegram_id": before},
            after={"telegram_id": telegram_id},
        )
    return user


def _tell_replaced(user: User, telegram_id: int | None) -> None:
    """Whoever had the account till now hears that it is somebody else's."""
    if telegram_id is None:
        return
    language = user.language or settings(CoreSettings).default_language
    with in_language(language):
        words = gettext("Your account %(name)s is linked to another Telegram now.", name=user.label)
    notify_chat(
        telegram_id,
        Message(str(escape(words))),
        kind="telegram_replaced",
        priority=Priority.DECISION,
        language=language,
    )


def staff_actor(telegram_id: int, permission: str) -> Actor | None:
    """Who acts when this person uses a right on Telegram; None if they lack it.

    Rights hang on TELEGRAM_ADMIN_IDS or a verified id of an account, never on a claim. A ban takes
    them, even from whoever is listed.
    """
    user = find_user_by_verified_telegram_id(telegram_id)
    if user is not None and user.banned_at is not None:
        return None
    listed = telegram_id in settings(TelegramSettings).admin_ids
    if listed and permission in permissions_of(LISTED_ROLE):
        pass
    elif user is None or permission not in permissions_of(user.role):
        return None
    if user is not None:
        return Actor(f"user:{user.id}", user.label, Channel.TELEGRAM, user.id)
    return Actor(f"telegram:{telegram_id}", f"telegram:{telegram_id}", Channel.TELEGRAM)
