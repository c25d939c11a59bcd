"""Steps of migrations that don't hold up requests on large tables of PostgreSQL.

Migrations outlive the code of their day: what stands here keeps its meaning.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import Any

from alembic import op
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

log = logging.getLogger(__name__)

LOCK_TIMEOUT = "SET lock_timeout = '3s'"
"""A step that waits for a table lets nobody else pass meanwhile: it rather gives up, and comes
again."""
ATTEMPTS = 60
PAUSE_SECONDS = 2.0
_LOCK_NOT_AVAILABLE = "55P03"


def insist(step: Callable[[], None]) -> None:
    """Run `step` again while tables are in use, for some minutes; it must begin anew by itself."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            step()
        except OperationalError as error:
            busy = getattr(error.orig, "pgcode", None) == _LOCK_NOT_AVAILABLE
            if not busy or attempt == ATTEMPTS:
                raise
            log.warning("a table is in use, the migration waits (attempt %s)", attempt)
            time.sleep(PAUSE_SECONDS)
        else:
            return


def on_postgresql() -> bool:
    """Whether the database at hand is PostgreSQL."""
    return bool(op.get_bind().dialect.name == "postgresql")


def replace_check(table: str, name: str, condition: str) -> None:
    """PostgreSQL: another condition under the same name, for new rows from now on. Locks for a
    moment; `validate_check` looks at the old rows, in a migration of its own."""
    op.execute(f"ALTER TABLE {table} ADD CONSTRAINT {name}_new CHECK ({condition}) NOT VALID")
    op.execute(f"ALTER TABLE {table} DROP CONSTRAINT {name}")
    op.execute(f"ALTER TABLE {table} RENAME CONSTRAINT {name}_new TO {name}")


def validate_check(table: str, name: str) -> None:
    """PostgreSQL: reads the whole table, while it is read and written. May run twice."""
    op.execute(f"ALTER TABLE {table} VALIDATE CONSTRAINT {name}")


def add_index(name: str, table: str, columns: Sequence[Any], **options: Any) -> None:
    """While the table is read and written, on PostgreSQL; in a migration that does nothing else,
    for it ends the running transaction. May run twice."""
    if not on_postgresql():
        op.create_index(name, table, columns, **options)
        return
    with op.get_context().autocommit_block():
        invalid = "SELECT 1 FROM pg_index WHERE indexrelid = to_regclass(:name) AND NOT indisvalid"
        if op.get_bind().scalar(text(invalid), {"name": name}):
            op.drop_index(name, table, postgresql_concurrently=True)  # of an attempt that broke off
        op.create_index(
            name, table, columns, postgresql_concurrently=True, if_not_exists=True, **options
        )
