"""What `flask doctor` looks at: settings, connections, rights, clocks, room, backups."""

from __future__ import annotations

import os
import resource
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from dotenv import dotenv_values
from redis import RedisError
from sqlalchemy import text
from sqlalchemy.engine import Connection
from sqlalchemy.exc import SQLAlchemyError

from manga_backend.kernel.operations.service.backups import list_backups
from manga_backend.kernel.operations.service.health import (
    LARGEST_SKEW_SECONDS,
    LEAST_FREE_BYTES,
    check_migrations,
    checks,
    free_bytes,
    in_seconds,
    skew_of_database,
)
from manga_backend.kernel.operations.settings import BackupSettings
from manga_backend.kernel.operations.types import Finding, fault, fine
from manga_backend.kit import clock
from manga_backend.kit.db import READS, db
from manga_backend.kit.jobs import broker
from manga_backend.kit.registry import Registry
from manga_backend.kit.settings import ROOT, CoreSettings, Origin, settings

OLDEST_POSTGRES = 150000
OLDEST_REDIS = (6, 2)
CONNECTIONS_EACH = 8
"""Of one web process at most: two pools of `threads` + 2, and what they may add."""
FEWEST_FILES = 1024

Examine = Callable[[], Iterator[Finding]]

examinations: Registry[Examine] = Registry("operations.examinations")
"""By the heading they stand under, in the order of registration."""


def examine_settings() -> Iterator[Finding]:
    """Names that nobody reads, and values that are usable but not wise."""
    core = settings(CoreSettings)
    known = set(dotenv_values(ROOT / ".env.example"))
    file = ROOT / ".env"
    written = dotenv_values(file) if file.exists() else {}
    yield fine(f"APP_ENV is {core.app_env}; {len(written)} names in .env")
    for name in sorted(set(written) - known):
        yield fault(f".env: {name} is read by nobody; .env.example has all names")
    if file.exists() and file.stat().st_mode & 0o077:
        yield fault(".env holds secrets and others may read it: chmod 600 .env")
    if core.development and written:
        yield fault("APP_ENV=development on a server: secrets may be weak; set production")
    given = settings(Origin).values
    if not core.allowed_origins and not core.development:
        yield fault("ALLOWED_ORIGINS is empty: browsers refuse a front end of another host")
    if core.trusted_proxies == 0 and core.app_env == "production":
        behind_a_proxy = core.bind.startswith(("unix:", "127.0.0.1:", "localhost:", "[::1]:"))
        words = "TRUSTED_PROXIES is 0: behind Nginx all readers look like one address; set 1"
        yield Finding(not behind_a_proxy, words)
    for name in ("HTTPS_PROXY", "https_proxy"):
        if given.get(name):
            yield fine(f"{name} is set and not used; only TELEGRAM_PROXY counts")
            break


def examine_database() -> Iterator[Finding]:
    """Reached, new enough, ours to change, and as many connections as we may open."""
    engine = db.engines[READS]
    try:
        with engine.connect() as connection:
            if engine.dialect.name == "sqlite":
                yield from _examine_sqlite(connection, Path(str(engine.url.database)))
            else:
                yield from _examine_postgres(connection)
    except SQLAlchemyError as error:
        first = str(getattr(error, "orig", error)).strip().splitlines()[0]
        yield fault(f"the database is away: {first}; see DATABASE_URL")
        return
    migrations = check_migrations()
    yield Finding(migrations.ok, f"migrations: {migrations.detail}")


def _examine_sqlite(connection: Connection, file: Path) -> Iterator[Finding]:
    version = connection.scalar(text("SELECT sqlite_version()"))
    yield fine(f"SQLite {version} at {file.name}")
    mode = connection.scalar(text("PRAGMA journal_mode"))
    yield Finding(mode == "wal", f"journal mode {mode}" + ("" if mode == "wal" else "; want wal"))
    may_write = os.access(file, os.W_OK) and os.access(file.parent, os.W_OK)
    words = "may be written" if may_write else "can't be written: whose file and folder is it?"
    yield Finding(may_write, f"the file {words}")
    found = connection.scalar(text("PRAGMA quick_check(1)"))
    yield Finding(found == "ok", f"quick_check: {found}")


def _examine_postgres(connection: Connection) -> Iterator[Finding]:
    def show(name: str) -> Any:
        return connection.scalar(text("SELECT current_setting(:name)"), {"name": name})

    number = int(show("server_version_num"))
    version = f"PostgreSQL {show('server_version')}"
    yield fine(version) if number >= OLDEST_POSTGRES else fault(f"{version}; want 15 or newer")
    encoding = show("server_encoding")
    yield Finding(encoding == "UTF8", f"encoding {encoding}")
    writable = show("transaction_read_only") == "off"
    why = "a standby, or default_transaction_read_only"
    yield fine("takes writes") if writable else fault(f"the database is read-only: {why}")
    right = text("SELECT has_schema_privilege(current_schema(), 'CREATE')")
    may_create = connection.scalar(right)
    user = connection.scalar(text("SELECT current_user"))
    words = "may create tables" if may_create else "may not create tables: migrations will fail"
    yield Finding(bool(may_create), f"{user} {words}")
    core = settings(CoreSettings)
    wanted, most = (core.workers + 2) * CONNECTIONS_EACH, int(show("max_connections"))
    words = f"up to {wanted} connections of {most}"
    yield Finding(wanted < most, words if wanted < most else f"{words}: raise max_connections")


def examine_redis() -> Iterator[Finding]:
    """Reached, new enough, and not told to forget jobs."""
    found = broker()
    if found is None:
        core = settings(CoreSettings)
        yield fine("REDIS_URL is not set: the web processes deliver and run schedules")
        if core.app_env == "production" and core.workers > 1:
            yield fine("rate limits are kept by the database, which costs it a write each")
        return
    try:
        info = found.connection.info()
        policy = found.connection.config_get("maxmemory-policy").get("maxmemory-policy")
    except RedisError as error:
        yield fault(f"Redis is away: {error}; see REDIS_URL")
        return
    version = str(info.get("redis_version", "0.0"))
    new_enough = tuple(int(part) for part in version.split(".")[:2]) >= OLDEST_REDIS
    yield Finding(new_enough, f"Redis {version}" + ("" if new_enough else "; want 6.2 or newer"))
    keeps = policy in (None, "noeviction", "volatile-lru", "volatile-lfu", "volatile-ttl")
    words = "keeps jobs" if keeps else "may drop jobs when full: set it to noeviction"
    yield Finding(keeps, f"maxmemory-policy {policy}: {words}")


def examine_machine() -> Iterator[Finding]:
    """Room, rights, clock and files of this machine."""
    core = settings(CoreSettings)
    writable = os.access(core.instance_path, os.W_OK)
    words = "may be written" if writable else "can't be written: chown it to this user"
    yield Finding(writable, f"INSTANCE_PATH {core.instance_path.name}/ {words}")
    free = free_bytes(core.instance_path) or 0
    room = f"{free // 1024**2} MB free"
    yield fine(room) if free >= LEAST_FREE_BYTES else fault(f"{room}: make room")
    skew = skew_of_database()
    if skew is not None:
        if abs(skew) <= LARGEST_SKEW_SECONDS:
            yield fine("the same time as the database server")
        else:
            yield fault(f"{in_seconds(skew)} of the database server: timedatectl set-ntp true")
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    words = f"{files} files may be open"
    yield fine(words) if files >= FEWEST_FILES else fault(f"{words}: raise ulimit -n")


def examine_backups() -> Iterator[Finding]:
    """The newest is young, and the programs that make one are there."""
    config, core = settings(BackupSettings), settings(CoreSettings)
    if config.every is None:
        yield fault("BACKUP_HOURS is 0: nobody makes backups unless something else does")
    found = list_backups(config.folder)
    if not found:
        words = "there is no backup yet: flask --app wsgi backup create"
        yield Finding(config.every is None, words)
    else:
        age = clock.now() - found[0].created_at
        young = config.every is None or age <= 2 * config.every
        hours = int(age.total_seconds()) // 3600
        yield Finding(young, f"{found[0].file.name}, {hours} h old, of {len(found)}")
    if core.database_url.startswith("postgresql"):
        path = str(config.postgres_bin) if config.postgres_bin else None
        for name in ("pg_dump", "pg_restore"):
            there = shutil.which(name, path=path)
            words = f"{name} is there" if there else f"no {name}: apt-get install postgresql-client"
            yield Finding(bool(there), words)


_SEEN_TO = ("database", "migrations", "redis", "telegram", "backups", "clock", "disk")
"""What stands under a heading of its own."""


def examine_parts() -> Iterator[Finding]:
    """What other packages say in /health/ready."""
    for name, check in checks.items():
        if name not in _SEEN_TO:
            found = check()
            yield Finding(found.ok, f"{name}: {found.detail}")


def examine() -> Iterator[tuple[str, Finding]]:
    """Everything, by its heading; what breaks while it looks is a finding too."""
    for heading, look in examinations.items():
        try:
            for finding in look():
                yield heading, finding
        except Exception as error:
            yield heading, fault(f"could not be looked at: {type(error).__name__}: {error}")
