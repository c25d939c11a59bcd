"""The database: models' base, column kinds, transactions, and the engine for single reads."""

from __future__ import annotations

import logging
import random
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

import uuid_utils.compat
from flask_migrate import Migrate
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import (
    JSON,
    BigInteger,
    Connection,
    DateTime,
    Enum,
    Executable,
    Index,
    Integer,
    MetaData,
    RowMapping,
    Text,
    TypeDecorator,
    UpdateBase,
    text,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.dialects.postgresql import JSONB, asyncpg
from sqlalchemy.exc import DBAPIError, IntegrityError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import DeclarativeBase, InstrumentedAttribute, Session, registry
from sqlalchemy.sql.compiler import SQLCompiler

from manga_backend.kit.replica import RoutedSession

log = logging.getLogger(__name__)

T = TypeVar("T")

READS = "reads"
OWN_CONNECTIONS = "kit_own_connections"
"""An engine's option: its connections are sessions of PostgreSQL that nobody else uses."""

DATABASE_AWAY = (OperationalError, InterfaceError, PoolTimeout)
"""What a loop waits out instead of ending."""

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}


class UtcDateTime(TypeDecorator[datetime]):
    """An aware moment: timestamptz on PostgreSQL, UTC without a zone on SQLite."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Any) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a time without a zone")
        moment = value.astimezone(UTC)
        return moment.replace(tzinfo=None) if dialect.name == "sqlite" else moment

    def process_result_value(self, value: datetime | None, dialect: Any) -> datetime | None:
        if value is None or value.tzinfo is UTC:
            return value
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


MAX_ID = 2**63 - 1
"""The largest number that a key of ours, and both databases, can hold."""

BigId = BigInteger().with_variant(Integer, "sqlite")
"""A 64-bit key that SQLite can count up by itself."""

Json = JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")


class Base(DeclarativeBase):
    """Maps Python's types to ours, and names every constraint."""

    registry = registry(
        metadata=MetaData(naming_convention=NAMING),
        type_annotation_map={
            datetime: UtcDateTime,
            str: Text,
            int: BigInteger,
            dict[str, Any]: Json,
        },
    )


db = SQLAlchemy(
    model_class=Base,
    session_options={"class_": RoutedSession, "expire_on_commit": False, "autoflush": False},
)
migrate = Migrate()

if TYPE_CHECKING:

    class Model(Base):
        """A table."""

        __abstract__ = True

else:
    Model = db.Model


def enum_type(kind: type[StrEnum], name: str) -> Enum:
    """A text column with a CHECK that holds the values (not the names) of `kind`."""
    return Enum(
        kind,
        name=name,
        native_enum=False,
        create_constraint=True,
        length=32,
        values_callable=lambda members: [member.value for member in members],
    )


def partial_index(name: str, *columns: str, where: str, unique: bool = False) -> Index:
    """An index over the rows that satisfy `where`, on both databases."""
    condition = text(where)
    return Index(name, *columns, unique=unique, postgresql_where=condition, sqlite_where=condition)


def new_id() -> uuid.UUID:
    """A UUIDv7: public, unguessable enough for an id, and in the order of creation."""
    return uuid_utils.compat.uuid7()


# ---- transactions -------------------------------------------------------------------------

_reading: ContextVar[bool] = ContextVar("reading", default=False)
_NOTES = "kit.transaction"


def is_reading() -> bool:
    """Whether the running entry point said that it only reads."""
    return _reading.get()


def session() -> Session:
    """The session of the running entry point."""
    return db.session()  # the registry gives the one of this context


@dataclass
class Notes:
    """What the running transaction has to remember; gone with its commit or rollback."""

    before: dict[str, Callable[[], None]] = field(default_factory=dict)
    after: list[Callable[[], None]] = field(default_factory=list)
    values: dict[str, Any] = field(default_factory=dict)


def notes() -> Notes:
    """The running transaction's notes."""
    found: Notes = session().info.setdefault(_NOTES, Notes())
    return found


def before_commit(key: str, action: Callable[[], None]) -> None:
    """Run `action` once, last thing inside the transaction; a second one under `key` is ignored.

    For what many changes add to and one statement can write: it keeps row locks short and in order.
    """
    notes().before.setdefault(key, action)


def after_commit(action: Callable[[], None]) -> None:
    """Run `action` once the transaction is durable; dropped on rollback. Failures are logged only:
    whatever must surely happen is a row in the transaction, and `action` merely wakes its reader.
    """
    notes().after.append(action)


def commit() -> None:
    """Make the running transaction durable, then run what waited for that."""
    current = session()
    pending = notes()
    for action in list(pending.before.values()):
        action()
    current.commit()
    current.info.pop(_NOTES, None)
    for follow_up in pending.after:
        try:
            follow_up()
        except Exception:
            log.exception("a follow-up of a commit failed")


def rollback() -> None:
    """Drop the running transaction and all that waited for it; nothing if none was begun."""
    if not db.session.registry.has():
        return
    current = session()
    current.info.pop(_NOTES, None)
    current.rollback()


@contextmanager
def transaction() -> Iterator[Session]:
    """One unit of work for jobs, commands and loops: return commits, raise rolls back.

    Refusals that say `keeps_changes` commit and are raised on. Needs an app context; not nested.
    """
    try:
        yield session()
    except Exception as error:
        if getattr(error, "keeps_changes", False):
            commit()
        else:
            rollback()
        raise
    else:
        try:
            commit()
        except Exception:
            rollback()
            raise


@contextmanager
def reading(flag: bool = True) -> Iterator[None]:
    """SQLite only: no BEGIN IMMEDIATE inside, each statement sees the newest data by itself."""
    token = _reading.set(flag)
    try:
        yield
    finally:
        _reading.reset(token)


def read_one(statement: Executable, parameters: dict[str, Any]) -> RowMapping | None:
    """One row by one statement on the autocommit engine: no BEGIN, no ROLLBACK, one round trip."""
    with db.engines[READS].connect() as connection:
        return connection.execute(statement, parameters).mappings().first()


def read_all(statement: Executable) -> list[RowMapping]:
    """All rows of one statement on the autocommit engine, whatever transaction runs here."""
    with db.engines[READS].connect() as connection:
        return list(connection.execute(statement).mappings())


_PREPARED = "kit.prepared"
_NUMBERED = asyncpg.dialect()  # type: ignore[no-untyped-call]  # the one that writes $1, $2 …


class Prepared:
    """A statement for `write_one` that PostgreSQL parses and plans once for each connection.

    For the few that run a thousand times a second: it halves what they cost on both sides. Its
    bound parameters are numbers and times. Behind a pooler, which changes connections between
    statements and knows nothing of what was prepared, it is sent whole each time.
    """

    def __init__(self, name: str, statement: UpdateBase) -> None:
        self._name = name
        self._statement = statement

    @cached_property
    def _compiled(self) -> SQLCompiler:
        compiled = self._statement.compile(dialect=_NUMBERED)
        assert isinstance(compiled, SQLCompiler)
        return compiled

    @cached_property
    def _execute(self) -> str:
        places = ", ".join("%s" for _ in self._compiled.positiontup or ())
        return f"EXECUTE {self._name} ({places})"

    @cached_property
    def _fixed(self) -> dict[str, Any]:
        """The parameters that the statement brings with it, as the driver takes them."""
        found = {}
        for name, bind in self._compiled.binds.items():
            if not bind.required:
                process = bind.type.dialect_impl(_NUMBERED).bind_processor(_NUMBERED)
                found[name] = process(bind.value) if process else bind.value
        return found

    def run(self, connection: Connection, parameters: dict[str, Any]) -> None:
        """On a connection of the autocommit engine."""
        if not connection.get_execution_options().get(OWN_CONNECTIONS):
            connection.execute(self._statement, parameters)
            return
        known = connection.info.setdefault(_PREPARED, set())
        if self._name not in known:
            connection.exec_driver_sql(f"PREPARE {self._name} AS {self._compiled}")
            known.add(self._name)
        values = {**self._fixed, **parameters}
        ordered = tuple(values[name] for name in self._compiled.positiontup or ())
        connection.exec_driver_sql(self._execute, ordered)


def write_prepared(statement: Prepared, parameters: dict[str, Any]) -> None:
    """The same as `write_one` for a prepared statement."""
    with db.engines[READS].connect() as connection:
        statement.run(connection, parameters)


def write_one(statement: Executable, parameters: dict[str, Any]) -> None:
    """One statement that is a transaction by itself, on the autocommit engine: one round trip."""
    with db.engines[READS].connect() as connection:
        connection.execute(statement, parameters)


def violates(error: IntegrityError, *columns: InstrumentedAttribute[Any]) -> bool:
    """Whether a UNIQUE over exactly these columns was violated (index named by convention)."""
    table = columns[0].class_.__tablename__
    names = [column.key for column in columns]
    constraint = getattr(getattr(error.orig, "diag", None), "constraint_name", None)
    if constraint is not None:
        return constraint in {f"{kind}_{table}_{'_'.join(names)}" for kind in ("uq", "ix")}
    # SQLite names the columns: "UNIQUE constraint failed: users.username_key"
    message = str(error.orig)
    return message.endswith(": " + ", ".join(f"{table}.{name}" for name in names))


def insert_or(model: type[Any]) -> Any:
    """An INSERT that knows ON CONFLICT, for the database at hand."""
    return insert_for(session().get_bind().dialect.name, model)


def insert_for(dialect: str, model: type[Any]) -> Any:
    """The same for a database that is no session's, or for a statement that is kept."""
    return postgresql.insert(model) if dialect == "postgresql" else sqlite.insert(model)


def serialize_on(name: str) -> None:
    """Let one transaction at a time pass here until it ends; SQLite has one writer anyway."""
    current = session()
    if current.get_bind().dialect.name == "postgresql":
        current.execute(
            text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))"), {"name": name}
        )


MOST_TRIES = 4
_CLASHES = {"40001", "40P01"}
"""serialization_failure and deadlock_detected (PostgreSQL, appendix A)."""


def clashed(error: BaseException) -> bool:
    """Whether PostgreSQL broke off a transaction because of another one: done again it may pass."""
    return isinstance(error, DBAPIError) and getattr(error.orig, "pgcode", None) in _CLASHES


def in_transaction(work: Callable[[], T]) -> T:
    """`work` in a transaction of its own, done again when it clashed with another one; so it must
    do nothing but change the database."""
    for attempt in range(1, MOST_TRIES + 1):
        try:
            with transaction():
                return work()
        except DBAPIError as error:
            if attempt == MOST_TRIES or not clashed(error):
                raise
            time.sleep(random.uniform(0, 0.02) * attempt)  # noqa: S311
    raise AssertionError("unreachable")


def one_snapshot() -> None:
    """Let all statements of the transaction that begins here see one state of the database."""
    current = session()
    if current.get_bind().dialect.name == "postgresql":
        current.connection(execution_options={"isolation_level": "REPEATABLE READ"})


def read_in_index_order() -> None:
    """For the rest of the transaction: walk an index in its order rather than sort what it finds.

    For queues. PostgreSQL's statistics lag behind a table that fills and empties within seconds, so
    it would fetch and sort all that waits to give the first few.
    """
    current = session()
    if current.get_bind().dialect.name == "postgresql":
        ways = ("enable_sort", "enable_seqscan", "enable_bitmapscan")
        current.execute(text("; ".join(f"SET LOCAL {way} = off" for way in ways)))
