"""The few selects that run with each request: parsed and planned once for each connection."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

from sqlalchemy import BindParameter, Select, literal_column
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql import asyncpg
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql import visitors

from manga_backend.kit.db import OWN_CONNECTIONS, READS, db, read_one

_KNOWN = "kit.prepared.selects"
_NUMBERED = asyncpg.dialect()  # type: ignore[no-untyped-call]  # doubles no %
_RECEIVED = postgresql.psycopg2.dialect()  # type: ignore[no-untyped-call]


class PreparedSelect:
    """A select of one row for the engine of single reads, by parameters that are texts, numbers or
    UUIDs. Behind a pooler, and on SQLite, it is sent whole each time.

    Its rows are mappings of the very values that the select itself would give (decision 22).
    """

    def __init__(self, name: str, statement: Select[Any], *parameters: str) -> None:
        """`name` is this select's among all of the app; `parameters` in the order of `first`."""
        self._name = name
        self._statement = statement
        self._parameters = parameters

    def first(self, *values: Any) -> Mapping[Any, Any] | None:
        """One row, or None. A connection that died while idle is replaced, once."""
        engine = db.engines[READS]
        if not engine.get_execution_options().get(OWN_CONNECTIONS):
            return read_one(self._statement, dict(zip(self._parameters, values, strict=True)))
        given = tuple(map(str, values))
        for attempt in (1, 2):
            try:
                with engine.connect() as connection:
                    known = connection.info.setdefault(_KNOWN, set())
                    if self._name not in known:
                        connection.exec_driver_sql(f"PREPARE {self._name} AS {self._sql}")
                        known.add(self._name)
                    row = connection.exec_driver_sql(self._execute, given).fetchone()
                    return self._read(row) if row is not None else None
            except DBAPIError as error:
                if attempt == 2 or not error.connection_invalidated:
                    raise
        raise AssertionError("unreachable")

    @cached_property
    def _sql(self) -> str:
        """With $1, $2 … for the parameters, and everything else written out."""
        numbers = {name: f"${number}" for number, name in enumerate(self._parameters, start=1)}

        def numbered(element: Any, **_: Any) -> Any:
            if isinstance(element, BindParameter) and element.key in numbers:
                return literal_column(numbers[element.key], element.type)
            return None

        statement: Any = visitors.replacement_traverse(self._statement, {}, numbered)
        return str(statement.compile(dialect=_NUMBERED, compile_kwargs={"literal_binds": True}))

    @cached_property
    def _execute(self) -> str:
        return f"EXECUTE {self._name} ({', '.join('%s' for _ in self._parameters)})"

    @cached_property
    def _columns(self) -> Sequence[tuple[str, Callable[[Any], Any] | None]]:
        """Names, and what makes Python's values of the driver's."""
        return [
            (str(column.key), column.type.dialect_impl(_RECEIVED).result_processor(_RECEIVED, None))
            for column in self._statement.selected_columns
        ]

    def _read(self, row: Sequence[Any]) -> dict[str, Any]:
        return {
            name: process(value) if process is not None and value is not None else value
            for (name, process), value in zip(self._columns, row, strict=True)
        }
