"""Alembic: one history for all packages, on PostgreSQL and SQLite."""

from __future__ import annotations

from typing import Any, Literal

from alembic import context
from alembic.autogenerate.api import AutogenContext
from flask import current_app

from manga_backend.kit.db import UtcDateTime
from manga_backend.kit.engines import direct_engine
from manga_backend.kit.migrating import LOCK_TIMEOUT, insist
from manga_backend.kit.settings import CoreSettings

database = current_app.extensions["migrate"].db


def render_item(kind: str, item: Any, autogen: AutogenContext) -> str | Literal[False]:
    """Migrations name plain SQLAlchemy types, so that they outlive the code of today."""
    if kind == "type" and isinstance(item, UtcDateTime):
        return "sa.DateTime(timezone=True)"
    return False


def include_name(name: str | None, kind: str, _parents: Any) -> bool:
    """Full-text indexes are each database's own: no model knows them."""
    return not (kind in ("table", "index") and name is not None and "_search" in name)


def run() -> None:
    """Upgrade or downgrade; one transaction for each migration. What is done stays done, so that
    after waiting for a table in use it goes on from there."""
    core = current_app.extensions["settings"][CoreSettings]
    engine = direct_engine(core, "manga_backend migrations") if core.pooled else database.engine
    with engine.connect() as connection:
        if connection.dialect.name == "postgresql":
            connection.exec_driver_sql(LOCK_TIMEOUT)
            connection.commit()
        context.configure(
            connection=connection,
            target_metadata=database.metadatas[None],
            render_item=render_item,
            render_as_batch=True,
            include_name=include_name,
            transaction_per_migration=True,
            compare_type=False,
        )
        with context.begin_transaction():
            context.run_migrations()


if context.is_offline_mode():
    raise SystemExit("Migrations run against a database: leave out --sql.")
insist(run)
