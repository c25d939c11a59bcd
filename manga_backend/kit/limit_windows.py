"""Counts of the guarded routes in the database: shared by all workers where there is no Redis."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

from limits.storage import Storage
from sqlalchemy import case, delete, select, update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Mapped, mapped_column

from manga_backend.kit import clock
from manga_backend.kit.db import READS, Model, db, insert_for, transaction


class RateLimitWindow(Model):
    """How often something was done in the window that ends at `expires_at`."""

    __tablename__ = "rate_limit_windows"

    key: Mapped[str] = mapped_column(primary_key=True)
    count: Mapped[int]
    expires_at: Mapped[datetime] = mapped_column(index=True)


class DatabaseStorage(Storage):
    """A store for the `limits` library: each hit is one upsert in a transaction of its own.

    Only for the few guarded routes (sign-in, codes, coupons, secrets), which write anyway.
    """

    STORAGE_SCHEME = ["database"]

    @property
    def base_exceptions(self) -> type[Exception]:
        """What a database that is away raises; the limiter then counts in memory."""
        return SQLAlchemyError

    def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        """Count a hit; a window that is over begins anew."""
        now = time.time()
        over = RateLimitWindow.expires_at <= _moment(now)
        until = _moment(now + expiry)
        statement = insert_for(db.engine.dialect.name, RateLimitWindow).values(
            key=key, count=amount, expires_at=until
        )
        upsert = statement.on_conflict_do_update(
            index_elements=["key"],
            set_={
                "count": case((over, amount), else_=RateLimitWindow.count + amount),
                "expires_at": case((over, until), else_=RateLimitWindow.expires_at),
            },
        ).returning(RateLimitWindow.count)
        with db.engine.begin() as connection:
            return int(connection.execute(upsert).scalar_one())

    def get(self, key: str) -> int:
        """Hits in the running window."""
        row = self._row(key)
        return int(row.count) if row is not None else 0

    def get_expiry(self, key: str) -> float:
        """When the running window ends, in seconds since 1970."""
        row = self._row(key)
        return float(row.expires_at.timestamp()) if row is not None else time.time()

    def check(self) -> bool:
        """Whether the store answers again."""
        try:
            self._row("")
        except SQLAlchemyError:
            return False
        return True

    def reset(self) -> int | None:
        """Forget everything."""
        with db.engine.begin() as connection:
            return connection.execute(delete(RateLimitWindow)).rowcount

    def clear(self, key: str) -> None:
        """End one window."""
        with db.engine.begin() as connection:
            connection.execute(
                update(RateLimitWindow).where(RateLimitWindow.key == key).values(count=0)
            )

    @staticmethod
    def _row(key: str) -> Any:
        statement = select(RateLimitWindow.count, RateLimitWindow.expires_at).where(
            RateLimitWindow.key == key, RateLimitWindow.expires_at > _moment(time.time())
        )
        with db.engines[READS].connect() as connection:
            return connection.execute(statement).first()


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def purge_windows() -> None:
    """Forget windows that are over."""
    with transaction() as current:
        current.execute(delete(RateLimitWindow).where(RateLimitWindow.expires_at < clock.now()))
