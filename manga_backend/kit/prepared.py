"""Reads that PostgreSQL parses and plans once for each connection: those of the hot routes."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

from sqlalchemy import BindParameter, Engine, Select
from sqlalchemy.dialects.postgresql import asyncpg
from sqlalchemy.sql.compiler import SQLCompiler

from manga_backend.kit.db import OWN_CONNECTIONS, READS, db, read_one

log = logging.getLogger(__name__)

Row = Mapping[Any, Any]

_PREPARED = "kit.prepared_reads"


class _Compiler(asyncpg.PGCompiler_asyncpg):
    """Writes what a statement brings along as literals, so that one plan, made once, can use
    partial indexes; only what each run gives is a parameter."""

    def visit_bindparam(self, bindparam: BindParameter[Any], *args: Any, **kw: Any) -> Any:
        kw["literal_binds"] = not bindparam.required
        return super().visit_bindparam(bindparam, *args, **kw)  # type: ignore[no-untyped-call]


class _Dialect(asyncpg.dialect):  # the one that writes $1, $2 …
    statement_compiler = _Compiler
    supports_statement_cache = False


class PreparedRead:
    """A select of one row whose `bindparam`s without a value are given with each read.

    Planning such a statement costs PostgreSQL several times what running it does, and taking it
    through SQLAlchemy costs us twice what the driver does (decision 23). So it is compiled once,
    prepared once for each connection, and run by the driver; SQLAlchemy's pool lends the connection
    and its types read the values. Whatever goes wrong there, the connection is given up and the
    whole statement goes through SQLAlchemy, which knows what to make of faults. So it does behind a
    pooler, which changes connections between statements, and on SQLite.
    """

    def __init__(self, statement: Select[Any]) -> None:
        self._statement = statement

    @cached_property
    def _compiled(self) -> SQLCompiler:
        compiled = self._statement.compile(dialect=_Dialect())  # type: ignore[no-untyped-call]
        assert isinstance(compiled, SQLCompiler)
        return compiled

    @cached_property
    def _names(self) -> tuple[str, ...]:
        """Of what is given with each read, in the statement's order."""
        return tuple(self._compiled.positiontup or ())

    @cached_property
    def _words(self) -> tuple[str, str, str]:
        """Its name, and what prepares and runs it. The name is of its words: the same one always
        means the same statement, whoever prepared it."""
        whole = str(self._compiled)
        name = "read_" + hashlib.sha256(whole.encode()).hexdigest()[:24]
        places = ", ".join("%s" for _ in self._names)
        return name, f"PREPARE {name} AS {whole}", f"EXECUTE {name} ({places})"

    @cached_property
    def _columns(self) -> tuple[tuple[str, Callable[[Any], Any] | None], ...]:
        """Each column's name, and what makes our kind of value of the driver's."""
        dialect = db.engines[READS].dialect
        return tuple(
            (one.keyname, one.type.dialect_impl(dialect).result_processor(dialect, None))
            for one in self._compiled._result_columns
        )

    def read(self, parameters: Mapping[str, Any]) -> Row | None:
        """The first row, by one round trip on the autocommit engine; None if there is none."""
        engine = db.engines[READS]
        if engine.get_execution_options().get(OWN_CONNECTIONS):
            try:
                return self._run(engine, parameters)
            except engine.dialect.loaded_dbapi.Error as error:
                # A lost connection, a column whose type was changed, a pooler not told of.
                log.debug("read whole instead: %s", error)
        return read_one(self._statement, dict(parameters))

    def _run(self, engine: Engine, parameters: Mapping[str, Any]) -> Row | None:
        name, prepare, execute = self._words
        connection = engine.raw_connection()
        try:
            cursor: Any = connection.cursor()
            known = connection.info.setdefault(_PREPARED, set())
            if name not in known:
                cursor.execute(prepare)
                known.add(name)
            cursor.execute(execute, [str(parameters[each]) for each in self._names])
            found = cursor.fetchone()
            cursor.close()
        except BaseException:
            connection.invalidate()
            raise
        connection.close()
        if found is None:
            return None
        return {
            key: value if value is None or read is None else read(value)
            for (key, read), value in zip(self._columns, found, strict=True)
        }
