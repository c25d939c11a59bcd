"""Typed settings from the environment and `.env`; everything wrong is reported in one message."""

from __future__ import annotations

import logging
import os
import re
import secrets
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import environs
from dotenv import dotenv_values
from flask import Flask, current_app
from limits import parse_many
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

log = logging.getLogger(__name__)

T = TypeVar("T")

ROOT = Path(__file__).resolve().parents[2]
MIN_SECRET_LENGTH = 32
LANGUAGES = ("fa", "en", "ru", "uz", "ar")
SECRET_NAMES = ("SECRET_KEY", "JWT_SECRET_KEY", "ADMIN_SECRET")


class SettingsError(Exception):
    """The environment can't be used; the message names every setting that is wrong."""

    problems: Mapping[str, str] = {}
    """The same by name."""


@dataclass(frozen=True)
class Origin:
    """What the settings were made of, so that a few of them can be made anew while the app runs."""

    values: Mapping[str, str] = field(repr=False)
    loaders: tuple[Any, ...]
    defaults: Mapping[str, str]


class Env(environs.Env):
    """Reads one mapping of names to texts and collects problems until `finish()`."""

    def __init__(self, values: Mapping[str, str]) -> None:
        super().__init__(eager=False)
        self._mapping = values
        self._problems: dict[str, str] = {}
        self.defaults: dict[str, str] = {}
        """What counts where nothing is given, by name."""
        self.problems: dict[str, str] = {}
        """By name, once `finish()` was called."""

    def _get_value(self, env_key: str, default: Any) -> Any:
        # An empty variable means "not set": `.env.example` lists every name with nothing after it.
        value = self._mapping.get(env_key)
        return default if value is None or not value.strip() else value.strip()

    def complain(self, name: str, problem: str) -> None:
        """Add a problem that a type alone can't express."""
        self._problems.setdefault(name, problem)

    def choice(self, name: str, choices: Iterable[str], default: str) -> str:
        """One of `choices`, in lower case."""
        self.defaults[name] = default
        value = (self.str(name, default) or default).lower()
        allowed = tuple(choices)
        if value not in allowed:
            self.complain(name, f"must be one of {', '.join(allowed)}, not {value!r}")
        return value

    def number(self, name: str, default: int, *, least: int = 0, most: int = 2**31) -> int:
        """A whole number within bounds."""
        self.defaults[name] = str(default)
        value = self.int(name, default)
        if value is None:
            return default
        if not least <= value <= most:
            self.complain(name, f"must be between {least} and {most}, not {value}")
        return int(value)

    def names(self, name: str, default: str = "") -> tuple[str, ...]:
        """A comma-separated list without blanks."""
        text = self.str(name, default) or ""
        return tuple(part.strip() for part in text.split(",") if part.strip())

    def finish(self) -> None:
        """Raise SettingsError if anything read so far was wrong."""
        problems = dict(self._problems)
        try:
            self.seal()
        except environs.EnvError as error:
            for name, texts in getattr(error, "error_messages", {}).items():
                problems.setdefault(name, " ".join(map(str, texts)))
        self.problems = problems
        if problems:
            lines = "\n".join(f"  {name}: {text}" for name, text in sorted(problems.items()))
            raise SettingsError(f"The settings are not usable:\n{lines}")


RATELIMITS = {
    "default": "200 per minute",
    "anonymous": "60 per minute",
    "register": "5 per minute",
    "login": "10 per minute",
    "login_name": "5 per minute",
    "refresh": "60 per minute",
    "code": "5 per minute",
    "proof": "5 per minute;20 per hour",
    "password": "10 per minute",
    "coupon": "10 per minute",
    "secret": "10 per minute",
}
"""Each is settable as RATELIMIT_<NAME>, in the syntax of Flask-Limiter (kernel.md §1)."""


@dataclass(frozen=True)
class CoreSettings:
    """What every part of the app may ask for; names as in `.env.example`."""

    app_env: str
    database_url: str
    direct_url: str
    """The same database without a pooler between: for locks of a session, migrations, backups."""
    replica_url: str
    """A copy of it that follows; empty: there is none."""
    redis_url: str
    secret_key: str
    instance_path: Path
    allowed_origins: tuple[str, ...]
    trusted_proxies: int
    bind: str
    workers: int
    threads: int
    log_level: str
    products: tuple[str, ...]
    timezone: ZoneInfo
    default_language: str
    ratelimit_enabled: bool
    ratelimits: dict[str, str]
    """By the names of RATELIMITS."""
    web_app_url: str
    live_bind: str
    """Where the process of long connections listens."""
    live_connections: int

    @property
    def pooled(self) -> bool:
        """Whether a pooler may change connections between transactions."""
        return self.direct_url != self.database_url

    @property
    def development(self) -> bool:
        """Whether conveniences that are unsafe elsewhere may be used."""
        return self.app_env == "development"


def environment(env_file: Path | None = None) -> dict[str, str]:
    """The process environment on top of `.env` (the environment wins)."""
    file = env_file or ROOT / ".env"
    from_file = {k: v for k, v in dotenv_values(file).items() if v is not None}
    values = {**from_file, **os.environ}
    return values


def instance_path(values: Mapping[str, str]) -> Path:
    """Where SQLite, locks and kept secrets lie; made when missing. SettingsError if it can't be."""
    path = Path((values.get("INSTANCE_PATH") or "").strip() or ROOT / "instance").expanduser()
    path = path if path.is_absolute() else ROOT / path
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(
            f"The settings are not usable:\n  INSTANCE_PATH: {path}: {error.strerror}"
        ) from None
    return path


def kept_secrets(folder: Path) -> dict[str, str]:
    """Random secrets that development makes once and keeps in the instance folder (mode 600).

    Safe to call from several processes at once: the file appears whole or not at all.
    """
    file = folder / "secrets.env"
    if not file.exists():
        text = "".join(f"{name}={secrets.token_urlsafe(48)}\n" for name in SECRET_NAMES)
        draft = folder / f".secrets.{os.getpid()}.{secrets.token_hex(4)}"
        draft.touch(mode=0o600)
        draft.write_text(text)
        try:
            os.link(draft, file)
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    return {k: v for k, v in dotenv_values(file).items() if v}


def read_secret(env: Env, name: str, app_env: str) -> str:
    """A secret of at least 32 characters that is not an example's; weak ones only in testing."""
    value = env.str(name, "") or ""
    if not value and app_env != "development":
        env.complain(name, f"is missing; {app_env} needs it")
    elif app_env == "production" and len(value) < MIN_SECRET_LENGTH:
        words = f"has only {len(value)} characters; production needs at least {MIN_SECRET_LENGTH}"
        env.complain(name, words)
    elif app_env == "production" and (
        len(set(value)) < 8 or re.search(r"change.?me|example|default|your.?secret", value, re.I)
    ):
        env.complain(name, "is a default or far too regular; use a random one")
    return value


def database_url(raw: str, folder: Path) -> str:
    """Any usual spelling of a PostgreSQL or SQLite address, as SQLAlchemy wants it."""
    if not raw:
        return f"sqlite:///{folder / 'manga.sqlite3'}"
    scheme, separator, rest = raw.partition("://")
    family = scheme.lower().partition("+")[0]
    if family in ("postgres", "postgresql", "psql", "pgsql") and separator:
        libpq = re.sub("([?&])ssl=", r"\1sslmode=", _spread_hosts(rest))  # asyncpg says `ssl`
        return f"postgresql+psycopg2://{libpq}"
    if family == "sqlite" and separator:
        location = rest.removeprefix("/")
        if location in ("", ":memory:"):
            return ""
        # As Flask-SQLAlchemy has it, a relative file lies in the instance folder.
        return f"sqlite:///{folder / location}"
    return ""


def _spread_hosts(rest: str) -> str:
    """libpq's `one:5432,two:5432/name` in SQLAlchemy's way: `/name?host=one:5432&host=two:5432`."""
    authority, slash, tail = rest.partition("/")
    user, at, hosts = authority.rpartition("@")
    if "," not in hosts:
        return rest
    name, _, query = tail.partition("?")
    queries = [f"host={host}" for host in hosts.split(",")] + ([query] if query else [])
    return f"{user}{at}{slash or '/'}{name}?{'&'.join(queries)}"


def _is_usable(url: str) -> bool:
    try:
        make_url(url)
    except (ArgumentError, ValueError):
        return False
    return True


def _other_url(env: Env, kind: str, folder: Path) -> str:
    """Of another way to the same database, which is PostgreSQL then; empty when none is named."""
    name = f"DATABASE_{kind}_URL"
    raw = env.str(name, "") or ""
    url = database_url(raw, folder) if raw else ""
    if raw and not (url.startswith("postgresql") and _is_usable(url)):
        env.complain(name, "must be a postgresql:// address")
        return ""
    return url


def _minutes_of(zone: ZoneInfo, month: int) -> int:
    offset = datetime(2026, month, 1, tzinfo=zone).utcoffset() or timedelta()
    return int(offset.total_seconds()) // 60


def _ratelimits(env: Env) -> dict[str, str]:
    found = {}
    for name, default in RATELIMITS.items():
        variable = f"RATELIMIT_{name.upper()}"
        found[name] = env.str(variable, default) or default
        try:
            parse_many(found[name])
        except ValueError:
            env.complain(variable, f"{found[name]!r} is not a limit like `{default}`")
    return found


def _bind(env: Env, name: str, default: str) -> str:
    bind = env.str(name, default) or ""
    port = re.fullmatch(r".*:(\d{1,5})", bind)
    if not bind.startswith("unix:") and not (port and int(port.group(1)) < 65536):
        env.complain(name, f"{bind!r} is neither host:port nor unix:path")
    return bind


def load_core(env: Env, values: Mapping[str, str]) -> CoreSettings:
    """The settings shared by all; `values` is what `env` reads."""
    app_env = env.choice("APP_ENV", ("development", "testing", "production"), "development")
    folder = instance_path(values)
    raw_url = env.str("DATABASE_URL", "") or ""
    url = database_url(raw_url, folder)
    if not url or not _is_usable(url):
        env.complain("DATABASE_URL", "must be a sqlite:/// file or a postgresql:// address")
    direct, replica = (_other_url(env, name, folder) for name in ("DIRECT", "REPLICA"))
    zone = env.str("TIMEZONE", "Asia/Tehran") or "UTC"
    try:
        timezone = ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):  # OSError: `Asia` is a folder of zones
        env.complain("TIMEZONE", f"{zone!r} is not an IANA time zone")
        timezone = ZoneInfo("UTC")
    if any(_minutes_of(timezone, month) % 30 for month in (1, 7)):
        env.complain("TIMEZONE", f"{zone}: its days begin on no half hour, statistics can't follow")
    origins = tuple(
        origin.lower() for origin in env.names("ALLOWED_ORIGINS") or env.names("CORS_ORIGINS")
    )
    for origin in origins:
        if not re.fullmatch(r"https?://[^/\s*]+", origin):
            env.complain(
                "ALLOWED_ORIGINS", f"{origin!r} is not an origin like https://shop.example"
            )
    bind = _bind(env, "BIND", "127.0.0.1:8000")
    web_app_url = env.str("WEB_APP_URL", "") or ""
    if web_app_url and not re.fullmatch(r"https?://\S+", web_app_url):
        env.complain("WEB_APP_URL", "must be an http:// or https:// address")
    redis_url = env.str("REDIS_URL", "") or ""
    if redis_url and not re.match(r"rediss?://", redis_url):
        env.complain("REDIS_URL", "must be a redis:// or rediss:// address")
    products = env.names("PRODUCTS", "manga")
    if not products:
        env.complain("PRODUCTS", "names no product")
    return CoreSettings(
        app_env=app_env,
        database_url=url,
        direct_url=direct or url,
        replica_url=replica,
        redis_url=redis_url,
        secret_key=read_secret(env, "SECRET_KEY", app_env),
        instance_path=folder,
        allowed_origins=origins,
        trusted_proxies=env.number("TRUSTED_PROXIES", 0, most=10),
        bind=bind,
        workers=env.number("WEB_CONCURRENCY", 2, least=1, most=512),
        threads=env.number("GUNICORN_THREADS", 1, least=1, most=512),
        log_level=env.choice("LOG_LEVEL", ("debug", "info", "warning", "error"), "info"),
        products=products,
        timezone=timezone,
        default_language=env.choice("DEFAULT_LANGUAGE", LANGUAGES, "fa"),
        ratelimit_enabled=bool(env.bool("RATELIMIT_ENABLED", True)),
        ratelimits=_ratelimits(env),
        web_app_url=web_app_url,
        live_bind=_bind(env, "LIVE_BIND", "127.0.0.1:8010"),
        live_connections=env.number("LIVE_CONNECTIONS", 2000, least=1, most=20_000),
    )


Loader = Callable[[Env, CoreSettings], Any]


def load_settings(
    loaders: Iterable[Loader], products: Collection[str], values: Mapping[str, str] | None = None
) -> dict[type, Any]:
    """Read the core settings and each loader's own; raises SettingsError listing every fault.

    `products` are the names that PRODUCTS may hold, beside `all`. In development missing
    secrets are made once and kept in the instance folder.
    """
    found = dict(environment() if values is None else values)
    if (found.get("APP_ENV") or "development").lower() == "development":
        missing = [name for name in SECRET_NAMES if not (found.get(name) or "").strip()]
        if missing:
            kept = kept_secrets(instance_path(found))
            found.update({name: kept[name] for name in missing if name in kept})
    env = Env(found)
    core = load_core(env, found)
    loaders = tuple(loaders)
    for name in core.products:
        if name != "all" and name not in products:
            env.complain("PRODUCTS", f"there is no {name!r}; there is {', '.join(products)}")
    bag: dict[type, Any] = {CoreSettings: core, Origin: Origin(found, loaders, env.defaults)}
    for loader in loaders:
        loaded = loader(env, core)
        bag[type(loaded)] = loaded
    env.finish()
    return bag


def settings(kind: type[T]) -> T:
    """The current app's settings of one kind."""
    found: T = current_app.extensions["settings"][kind]
    return found


# ---- changed while the app runs ---------------------------------------------------------------

REFRESH_SECONDS = 5
_CHANGES = "settings.changes"

ChangesSource = Callable[[], Mapping[str, str]]


@dataclass
class _Changes:
    """What was found last, what of it was applied, and when it was looked for."""

    source: ChangesSource
    wanted: Mapping[str, str] = field(default_factory=dict)
    applied: Mapping[str, str] = field(default_factory=dict)
    looked_at: float = -REFRESH_SECONDS


def take_changes_from(app: Flask, source: ChangesSource) -> None:
    """Names and values that win over the environment come from here."""
    app.extensions[_CHANGES] = _Changes(source)


def refresh(*, at_once: bool = False) -> None:
    """Take changed settings over, looking for them every REFRESH_SECONDS at most. Called where work
    begins: by requests, jobs, and the loop that reads Telegram. When the source is away, or what it
    says can't be used, all stays as it is."""
    changes: _Changes = current_app.extensions[_CHANGES]
    now = time.monotonic()
    if not at_once and now - changes.looked_at < REFRESH_SECONDS:
        return
    changes.looked_at = now
    try:
        found = dict(changes.source())
        if found != changes.wanted:
            changes.wanted, changes.applied = found, _take_over(found)
    except Exception:
        log.exception("changed settings could not be taken over")


def _take_over(changes: Mapping[str, str]) -> Mapping[str, str]:
    """Apply all that can be used: one that can't must not take the others' force (a sum above which
    two must approve). Returns what was applied."""
    usable = dict(changes)
    while True:
        try:
            current_app.extensions["settings"].update(with_changes(usable))
        except SettingsError as error:
            bad = usable.keys() & error.problems.keys()
            if not bad:
                raise
            log.exception("changed settings without %s are taken over", ", ".join(sorted(bad)))
            for name in bad:
                del usable[name]
        else:
            return usable


def in_force() -> Mapping[str, str]:
    """The changes that this process goes by."""
    changes: _Changes = current_app.extensions[_CHANGES]
    return changes.applied


def with_changes(changes: Mapping[str, str]) -> dict[type, Any]:
    """The settings of all packages as they would be with these changes; SettingsError."""
    bag = current_app.extensions["settings"]
    origin: Origin = bag[Origin]
    env = Env({**origin.values, **changes})
    core: CoreSettings = bag[CoreSettings]
    made = [loader(env, core) for loader in origin.loaders]
    try:
        env.finish()
    except SettingsError as error:
        error.problems = env.problems
        raise
    return {type(one): one for one in made}


def value_of(name: str) -> str:
    """What counts without a change: a setting's value in the environment, or else its default."""
    origin: Origin = current_app.extensions["settings"][Origin]
    return str(origin.values.get(name) or origin.defaults.get(name, ""))
