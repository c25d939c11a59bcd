"""Signing in by what Telegram vouches for: Mini Apps' initData, and the Login Widget."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import delete, select
from sqlalchemy.exc import IntegrityError

from manga_backend.kernel.identity import domain, queries
from manga_backend.kernel.identity.errors import (
    Banned,
    InitDataExpired,
    TelegramSignInOff,
    WidgetUsed,
)
from manga_backend.kernel.identity.events import UserRegistered
from manga_backend.kernel.identity.models import UsedLogin, User
from manga_backend.kernel.identity.service.sessions import doors, lock_user, open_session
from manga_backend.kernel.identity.service.tokens import issue_tokens
from manga_backend.kernel.identity.settings import IdentitySettings
from manga_backend.kernel.identity.types import Device, TelegramProfile, Tokens
from manga_backend.kernel.telegram.settings import TelegramSettings
from manga_backend.kit import clock
from manga_backend.kit import db as database
from manga_backend.kit.events import publish
from manga_backend.kit.i18n import supported
from manga_backend.kit.settings import settings

SKEW = timedelta(minutes=5)
"""Clocks of Telegram and ours may differ by so much (facts.md ii)."""
WIDGET_LIVES = timedelta(hours=24)


def read_init_data(text: str) -> TelegramProfile:
    """Who sends this `window.Telegram.WebApp.initData`. InitDataInvalid, InitDataExpired,
    TelegramSignInOff. Clients resend what they have kept for up to a day. With INIT_DATA_BOT_ID it
    is that bot's Mini App, and Telegram's own signature is checked: its token is not needed."""
    bot_id = settings(IdentitySettings).init_data_bot_id
    if bot_id:
        profile = domain.read_init_data_of(text, bot_id)
    else:
        profile = domain.read_init_data(text, _token())
    _check_age(profile.signed_at, settings(IdentitySettings).init_data_max_age)
    return profile


def sign_in_by_init_data(text: str, device: Device) -> Tokens:
    """A session for whoever Telegram vouches for; the account is opened at first sight. Refusals of
    read_init_data; Banned. Locks the user."""
    return _sign_in(read_init_data(text), device)


def sign_in_by_widget(fields: dict[str, str], device: Device) -> Tokens:
    """The same by the Login Widget's fields, once for each payload: WidgetUsed."""
    profile = domain.read_widget(fields, _token())
    _check_age(profile.signed_at, WIDGET_LIVES)
    done = database.session().execute(
        database.insert_or(UsedLogin)
        .values(proof=profile.proof, expires_at=profile.signed_at + WIDGET_LIVES + SKEW)
        .on_conflict_do_nothing()
    )
    if not done.rowcount:  # type: ignore[attr-defined]
        raise WidgetUsed
    return _sign_in(profile, device)


def _sign_in(profile: TelegramProfile, device: Device) -> Tokens:
    user = lock_user(find_or_open_account(profile))
    if user.banned_at is not None:
        raise Banned
    door = doors["auth"]
    session = open_session(user, product=door.product, limit=door.max_sessions(), device=device)
    return issue_tokens(user, session)


def find_or_open_account(profile: TelegramProfile) -> int:
    """The account with this proved Telegram id; a new one at first sight, which takes the id over
    from whoever only claimed it. May run at once: there is one account. Publishes UserRegistered.
    """
    found = queries.find_user_by_verified_telegram_id(profile.telegram_id)
    if found is not None:
        return found.id
    current = database.session()
    try:
        with current.begin_nested():
            claimed = current.scalar(
                select(User)
                .where(User.telegram_id == profile.telegram_id)
                .with_for_update(key_share=True)
                .execution_options(populate_existing=True)
            )
            if claimed is not None and claimed.telegram_verified_at is not None:
                return claimed.id  # somebody was faster
            if claimed is not None:
                claimed.telegram_id = None
                current.flush()
            now = clock.now()
            user = User(
                telegram_id=profile.telegram_id,
                telegram_verified_at=now,
                language=supported(profile.language_code),
                created_at=now,
            )
            current.add(user)
            current.flush()
    except IntegrityError as error:
        if not database.violates(error, User.telegram_id):
            raise
        return find_or_open_account(profile)
    publish(UserRegistered(user_id=user.id))
    return user.id


def purge_used_logins() -> None:
    """Payloads that are too old to sign in by need not be remembered."""
    gone = delete(UsedLogin).where(UsedLogin.expires_at < clock.now())
    database.session().execute(gone)


def _token() -> str:
    token = settings(TelegramSettings).token
    if not token:
        raise TelegramSignInOff
    return token


def _check_age(signed_at: datetime, max_age: timedelta) -> None:
    age = clock.now() - signed_at
    if age > max_age or age < -SKEW:
        raise InitDataExpired
