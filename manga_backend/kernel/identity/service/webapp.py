"""Signing in by what Telegram vouches for: Mini Apps' initData, and the Login Widget."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import cache

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
from manga_backend.kernel.identity.service.sessions import (
    doors,
    enter,
    lock_user,
    permissions_of,
)
from manga_backend.kernel.identity.settings import IdentitySettings
from manga_backend.kernel.identity.types import Device, TelegramProfile, Tokens
from manga_backend.kernel.telegram.settings import TelegramSettings
from manga_backend.kit import clock
from manga_backend.kit import db as database
from manga_backend.kit.events import publish
from manga_backend.kit.i18n import set_caller_language, supported
from manga_backend.kit.prepared import PreparedRead, Row
from manga_backend.kit.principal import Principal, Widen
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
    set_caller_language(supported(profile.language_code))
    _check_age(profile.signed_at, settings(IdentitySettings).init_data_max_age)
    return profile


def sign_in_by_init_data(text: str, device: Device, product: str | None = None) -> Tokens:
    """A session for whoever Telegram vouches for; the account is opened at first sight. Refusals of
    read_init_data; Banned, InvalidInput. Locks the user."""
    return _sign_in(read_init_data(text), device, product)


def sign_in_by_widget(fields: dict[str, str], device: Device, product: str | None = None) -> Tokens:
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
    return _sign_in(profile, device, product)


def _sign_in(profile: TelegramProfile, device: Device, product: str | None) -> Tokens:
    user = lock_user(find_or_open_account(profile))
    if user.banned_at is not None:
        raise Banned
    return enter(user, product, device)


def product_of_init_data() -> str:
    """The product on whose routes initData by itself is a credential; empty when there is none."""
    return next((name for name, door in doors.items() if door.takes_init_data), "")


def authenticate(profile: TelegramProfile, widen: Widen | None) -> Principal:
    """Whoever sent verified initData with a request, by one statement that `widen` may add columns
    to. Makes no session and ends none. The account is opened at first sight, in a transaction of
    its own, before the request has begun one. Banned."""
    row = _find_caller(profile, widen)
    if row is None or _is_news(
        profile, row["told_at"], row["told_first_name"], row["told_username"]
    ):
        with database.reading(False):
            database.in_transaction(lambda: find_or_open_account(profile))
        row = _find_caller(profile, widen)
    if row is not None:
        set_caller_language(row["language"])
    if row is None or row["banned_at"] is not None:
        raise Banned
    return Principal(
        user_id=row["user_id"],
        session_id=None,
        product=product_of_init_data(),
        permissions=permissions_of(row["role"]),
        row=row,
    )


def _find_caller(profile: TelegramProfile, widen: Widen | None) -> Row | None:
    return _statement(widen).read({"telegram_id": profile.telegram_id})


@cache
def _statement(widen: Widen | None) -> PreparedRead:
    statement = queries.telegram_caller_statement()
    return PreparedRead(widen(statement) if widen else statement)


def _is_news(
    profile: TelegramProfile, told_at: datetime | None, first_name: str | None, name: str | None
) -> bool:
    """Whether it says something else, and later, than what is known. Clients resend old ones."""
    same = (first_name or "", name) == (profile.first_name, profile.username)
    return not same and (told_at is None or told_at < profile.signed_at)


def _keep_profile(user: User, profile: TelegramProfile) -> None:
    if _is_news(profile, user.profile_at, user.first_name, user.telegram_username):
        user.first_name, user.telegram_username = profile.first_name, profile.username
        user.profile_at = profile.signed_at
        database.session().flush()


def find_or_open_account(profile: TelegramProfile) -> int:
    """The account with this proved Telegram id; a new one at first sight, which takes the id over
    from whoever only claimed it. Notes how the person is called now. May run at once: there is one
    account. Publishes UserRegistered.
    """
    found = queries.find_user_by_verified_telegram_id(profile.telegram_id)
    if found is not None:
        _keep_profile(found, profile)
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
                first_name=profile.first_name,
                telegram_username=profile.username,
                profile_at=profile.signed_at,
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
