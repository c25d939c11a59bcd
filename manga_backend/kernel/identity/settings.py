"""Settings of sign-in."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from manga_backend.kit.settings import MIN_SECRET_LENGTH, CoreSettings, Env, read_secret


@dataclass(frozen=True)
class IdentitySettings:
    """`jwt_keys` newest first: the first signs, all verify."""

    jwt_keys: tuple[str, ...]
    access_lifetime: timedelta
    refresh_lifetime: timedelta
    admin_secret: str
    init_data_max_age: timedelta = timedelta(hours=24)
    init_data_bot_id: int = 0
    """Whose Mini App it is, where that bot's token is not ours."""


def load(env: Env, core: CoreSettings) -> IdentitySettings:
    """JWT_*, ADMIN_SECRET and INIT_DATA_* of kernel.md §9."""
    text = read_secret(env, "JWT_SECRET_KEY", core.app_env)
    keys = tuple(part.strip() for part in text.split(",") if part.strip())
    if text and not keys:
        env.complain("JWT_SECRET_KEY", "holds no key")
    if core.app_env == "production" and any(len(key) < MIN_SECRET_LENGTH for key in keys):
        env.complain("JWT_SECRET_KEY", f"each key needs at least {MIN_SECRET_LENGTH} characters")
    return IdentitySettings(
        jwt_keys=keys,
        access_lifetime=timedelta(minutes=env.number("JWT_ACCESS_MIN", 60, least=1, most=10_080)),
        refresh_lifetime=timedelta(days=env.number("JWT_REFRESH_DAYS", 30, least=1, most=3650)),
        admin_secret=read_secret(env, "ADMIN_SECRET", core.app_env),
        init_data_max_age=timedelta(seconds=env.number("INIT_DATA_MAX_AGE", 86_400, least=60)),
        init_data_bot_id=env.number("INIT_DATA_BOT_ID", 0, most=2**52),
    )
