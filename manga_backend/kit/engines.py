"""The engines of an app: transactions, single reads, a replica; and what counts as a lost one."""

from __future__ import annotations

import select
from typing import Any

from flask import Flask
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.pool import NullPool

from manga_backend.kit import db as database
from manga_backend.kit.db import OWN_CONNECTIONS, READS, db, migrate
from manga_backend.kit.replica import REPLICA
from manga_backend.kit.settings import ROOT, CoreSettings

SQLITE_BUSY_SECONDS = 15
POOL_RECYCLE_SECONDS = 1800
READ_ONLY = "25006"
"""read_only_sql_transaction (PostgreSQL, appendix A)."""
_KEEPALIVES = {"keepalives_idle": 15, "keepalives_interval": 5, "keepalives_count": 3}


def configure(app: Flask, core: CoreSettings) -> None:
    """Two engines on one database, transactions and single reads on autocommit; and one more on its
    replica, where there is one."""
    url = core.database_url
    options = _options(core)
    app.config["SQLALCHEMY_DATABASE_URI"] = url
    app.config["SQLALCHEMY_ENGINE_OPTIONS"] = options
    # On autocommit nothing is left to be rolled back when a connection returns.
    single = {"isolation_level": "AUTOCOMMIT", "pool_reset_on_return": None}
    binds = {READS: {"url": url, **single, **options}}
    if core.replica_url:
        patience = {**options["connect_args"], "connect_timeout": 2}
        binds[REPLICA] = {
            "url": core.replica_url,
            **single,
            **options,
            "connect_args": patience,
        }
    app.config["SQLALCHEMY_BINDS"] = binds
    db.init_app(app)
    migrate.init_app(app, db, directory=str(ROOT / "migrations"), render_as_batch=True)
    with app.app_context():
        for key, engine in db.engines.items():
            if engine.dialect.name == "sqlite":
                event.listen(engine, "connect", _prepare_sqlite)
                if key != READS:
                    event.listen(engine, "begin", _begin_sqlite)
            else:
                event.listen(engine, "handle_error", _notice_standby)
                event.listen(engine, "checkout", _refuse_closed)


def _options(core: CoreSettings) -> dict[str, Any]:
    # Parameters hold password hashes and salts: they must not come with an error into the log.
    options: dict[str, Any] = {"pool_recycle": POOL_RECYCLE_SECONDS, "hide_parameters": True}
    if not core.database_url.startswith("postgresql"):
        return options | {"connect_args": {"timeout": SQLITE_BUSY_SECONDS}}
    connect = {"connect_timeout": 5, "application_name": "manga_backend", **_KEEPALIVES}
    if not core.pooled:
        connect["options"] = "-c timezone=utc"  # a pooler knows no such parameter
    return options | {
        "pool_size": max(core.threads, 1) + 2,
        "max_overflow": 4,
        "pool_timeout": 10,
        "pool_use_lifo": True,
        "connect_args": connect,
        "execution_options": {OWN_CONNECTIONS: not core.pooled},
    }


def direct_engine(core: CoreSettings, name: str, **connect: Any) -> Engine:
    """For what needs a session of PostgreSQL to itself (locks, migrations): without a pooler in
    between, each connection new, on autocommit."""
    return create_engine(
        core.direct_url,
        poolclass=NullPool,
        hide_parameters=True,
        connect_args={"connect_timeout": 5, "application_name": name, **connect},
    )


def _notice_standby(context: Any) -> None:
    """After a failover a kept connection may lead to what follows now: drop it and its like, so
    that the next one asks all hosts for the one that takes writes."""
    if getattr(context.original_exception, "pgcode", None) == READ_ONLY:
        context.is_disconnect = True


def _refuse_closed(connection: Any, _record: Any, _lent: Any) -> None:
    """Nothing is said on a kept connection that nobody asks: what can be read there is its end (the
    database started anew). The pool opens another; asking costs one look and no round trip."""
    look = select.poll()
    look.register(connection, select.POLLIN)
    if look.poll(0):
        raise DisconnectionError("the database closed a kept connection")


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # we say BEGIN ourselves
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout = {SQLITE_BUSY_SECONDS * 1000}")
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.execute("PRAGMA synchronous = FULL")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    if not database.is_reading():
        connection.exec_driver_sql("BEGIN IMMEDIATE")
