"""Reads that may come from a copy of the database a moment old; nothing that decides anything does.

Sessions, money and rights are always read where they are written.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, TypeVar

from flask import current_app
from flask_sqlalchemy.session import Session
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from manga_backend.kit.logging import Outage

log = logging.getLogger(__name__)

T = TypeVar("T")

REPLICA = "replica"
LOOK_SECONDS = 5.0
LARGEST_LAG_SECONDS = 10.0
_NEAR = "kit.replica"

# Without a receiver the copy no longer follows, though all that it has is applied. After a restart
# it counts what it receives from the start of a segment, until the primary writes something new:
# then more is applied than received.
_LAG = text(
    "SELECT pg_is_in_recovery() AS follows,"
    " EXISTS (SELECT 1 FROM pg_stat_wal_receiver) AS receives,"
    " CASE WHEN pg_last_wal_receive_lsn() <= pg_last_wal_replay_lsn() THEN 0"
    " ELSE extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp()) END AS lag"
)

_reading_copy: ContextVar[bool] = ContextVar("reading_copy", default=False)


class RoutedSession(Session):
    """Flask-SQLAlchemy's, which reads from the replica inside of `near_replica`."""

    def get_bind(self, *args: Any, **kwargs: Any) -> Any:
        """The replica's engine, or the one of always."""
        if _reading_copy.get():
            return _engine()
        return super().get_bind(*args, **kwargs)


def _engine() -> Engine:
    engine: Engine = current_app.extensions["sqlalchemy"].engines[REPLICA]
    return engine


@dataclass
class _Nearness:
    outage: Outage
    looked_at: float = -LOOK_SECONDS
    problem: str | None = None


def _nearness() -> _Nearness:
    found: _Nearness = current_app.extensions.setdefault(
        _NEAR,
        _Nearness(Outage(log, "the replica is not read", "the replica is read again")),
    )
    return found


def is_set() -> bool:
    """Whether this deployment has a replica."""
    return REPLICA in current_app.extensions["sqlalchemy"].engines


def problem_of_replica() -> str | None:
    """Why it is not read from; looked at every 5 s at most. None while it is near."""
    near = _nearness()
    now = time.monotonic()
    if now - near.looked_at >= LOOK_SECONDS:
        near.looked_at = now
        _note(near, _look())
    return near.problem


def _note(near: _Nearness, problem: str | None) -> None:
    near.problem = problem
    if problem:
        near.outage.begins(problem)
    else:
        near.outage.ends()


def _look() -> str | None:
    try:
        with _engine().connect() as connection:
            found = connection.execute(_LAG).one()
    except SQLAlchemyError as error:
        return f"away: {type(error).__name__}"
    if not found.follows:
        return None  # it has become the primary: newer than that nothing is
    if not found.receives:
        return "it follows nobody"
    if (found.lag or 0) > LARGEST_LAG_SECONDS:
        return f"{found.lag:.0f} s behind"
    return None


@contextmanager
def near_replica() -> Iterator[None]:
    """What is read inside comes from the replica where there is one that is near."""
    token = _reading_copy.set(is_set() and problem_of_replica() is None)
    try:
        yield
    finally:
        _reading_copy.reset(token)


def from_replica(read: Callable[[], T]) -> T:
    """The same for reads that are done again at the primary when the replica fails meanwhile."""
    try:
        with near_replica():
            return read()
    except DBAPIError as error:
        if not is_set() or problem_of_replica() is not None:
            raise
        near = _nearness()
        near.looked_at = time.monotonic()
        _note(near, f"failed: {type(error).__name__}")
        current_app.extensions["sqlalchemy"].session.rollback()
        return read()
