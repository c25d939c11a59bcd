"""New rows of several tables, written by one statement."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from itertools import groupby
from operator import itemgetter
from typing import Any, NamedTuple

from sqlalchemy import Insert, Table, bindparam, cast, insert, inspect, select, union_all
from sqlalchemy.orm import make_transient_to_detached
from sqlalchemy.orm.attributes import set_committed_value

from manga_backend.kit.db import Model, session

Part = tuple[Table, tuple[str, ...], int]
"""A table, the columns that are written, and how many rows."""


class _Column(NamedTuple):
    name: str
    default: Callable[[], Any]
    by_database: bool
    """Counted up, or given, by the database when the row does not say it."""


@lru_cache(maxsize=256)
def _columns(model: type[Model]) -> tuple[Table, tuple[_Column, ...], tuple[str, ...]]:
    """A model's table, its columns and the names of its key."""
    table = inspect(model).local_table
    assert isinstance(table, Table)
    found = []
    for column in table.columns:
        default = column.default
        given: Callable[[], Any] = lambda: None  # noqa: E731
        if default is not None and default.is_scalar:
            given = lambda value=default.arg: value  # type: ignore[misc]  # noqa: E731
        elif default is not None and default.is_callable:
            given = lambda make=default.arg: make(None)  # type: ignore[misc]  # noqa: E731
        by_database = column is table.autoincrement_column or (
            default is None and column.server_default is not None
        )
        found.append(_Column(column.key, given, by_database))
    return table, tuple(found), tuple(column.key for column in table.primary_key)


@lru_cache(maxsize=256)
def _statement(*parts: Part) -> Insert:
    """On PostgreSQL all INSERTs but the last are parts of the last one's WITH: foreign keys between
    them are checked at its end. Several rows are SELECTs: SQLAlchemy keeps no VALUES compiled."""
    inserts = []
    for n, (table, names, count) in enumerate(parts):
        rows = [
            [bindparam(f"p{n}_{row}_{name}", type_=table.c[name].type) for name in names]
            for row in range(count)
        ]
        new = insert(table).inline()
        if count == 1:
            new = new.values(dict(zip(names, rows[0], strict=True)))
        else:
            typed = (select(*(cast(value, value.type) for value in row)) for row in rows)
            new = new.from_select(names, union_all(*typed), include_defaults=False)
        inserts.append(new)
    return inserts[-1].add_cte(*(one.cte(f"p{n}") for n, one in enumerate(inserts[:-1])))


def insert_together(*rows: Model) -> None:
    """Write new rows in the running transaction, by one round trip and a third of what adding and
    flushing them costs; those first that others point to.

    Rows whose key is known here (a UUID) then belong to the session as if they had been added;
    those that the database numbers do not: whoever wants one reads it. IntegrityError as from a
    flush; what waits to be flushed is written before.
    """
    apart = [_taken_apart(row) for row in rows]
    current = session()
    current.flush()
    if current.get_bind().dialect.name == "postgresql":
        together = groupby(apart, key=itemgetter(0))
        _run([(*shape, [values for _, values in group]) for shape, group in together])
    else:  # SQLite's WITH takes no INSERT, and its CAST knows no times
        for shape, values in apart:
            _run([(*shape, [values])])
    for row in rows:
        if all(name in row.__dict__ for name in _columns(type(row))[2]):
            make_transient_to_detached(row)
            current.add(row)


def _taken_apart(row: Model) -> tuple[tuple[Table, tuple[str, ...]], dict[str, Any]]:
    """Table and columns, and their values; what the row does not say is filled in."""
    table, columns, _ = _columns(type(row))
    known = row.__dict__
    values = {}
    for column in columns:
        if column.name not in known:
            if column.by_database:
                continue
            set_committed_value(row, column.name, column.default())
        values[column.name] = known[column.name]
    return (table, tuple(values)), values


def _run(parts: list[tuple[Table, tuple[str, ...], list[dict[str, Any]]]]) -> None:
    statement = _statement(*((table, names, len(rows)) for table, names, rows in parts))
    named = {
        f"p{n}_{row}_{name}": value
        for n, (_, _, rows) in enumerate(parts)
        for row, values in enumerate(rows)
        for name, value in values.items()
    }
    session().execute(statement, named)
