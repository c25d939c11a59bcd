"""Reads that are planned once: the rows of any other way, whatever becomes of a connection."""

from __future__ import annotations

import uuid

import jwt
import pytest
from sqlalchemy import BigInteger, Text, bindparam, column, literal, select, table, text

from manga_backend.kernel.identity.queries import caller_statement
from manga_backend.kit.app import App
from manga_backend.kit.db import READS, db, read_one
from manga_backend.kit.prepared import PreparedRead
from manga_backend.products.manga.queries import with_status
from tests.conftest import Deployment
from tests.support import Api, counted_queries
from tests.variants import dispose, variant
from tools.services import PostgresServer

THINGS = table("bench_things", column("id", BigInteger), column("name", Text))
ONE = select(THINGS.c.id, THINGS.c.name).where(THINGS.c.id == bindparam("id"))


def run(app: App, *statements: str) -> None:
    with app.app_context(), db.engine.begin() as connection:
        for statement in statements:
            connection.execute(text(statement))


class TestRows:
    def test_are_those_of_the_whole_statement(self, api: Api) -> None:
        reader = api.reader()
        reader.submit()
        claims = jwt.decode(reader.tokens["access_token"], options={"verify_signature": False})
        given = {"session_id": uuid.UUID(claims["sid"])}
        statement = with_status(caller_statement())
        with api.app.app_context():
            whole, found = read_one(statement, given), PreparedRead(statement).read(given)
        assert whole is not None
        assert found is not None
        assert dict(found) == dict(whole)
        assert [type(value) for value in found.values()] == [type(v) for v in whole.values()]

    def test_none_is_none(self, app: App) -> None:
        with app.app_context():
            assert PreparedRead(caller_statement()).read({"session_id": uuid.uuid4()}) is None

    def test_what_the_statement_brings_along_is_quoted(self, app: App) -> None:
        words = "100% 'of' \\ $1 :x %s"
        given = {"more": 7}
        statement = select(
            literal(words).label("words"), bindparam("more", type_=BigInteger).label("more")
        )
        with app.app_context():
            found = PreparedRead(statement).read(given)
        assert found is not None
        assert dict(found) == {"words": words, "more": 7}


class TestConnections:
    @pytest.fixture(autouse=True)
    def things(self, pg_app: App) -> None:
        run(
            pg_app,
            "DROP TABLE IF EXISTS bench_things",
            "CREATE TABLE bench_things (id bigint, name text)",
            "INSERT INTO bench_things VALUES (1, 'one')",
        )

    def test_prepares_once(self, pg_app: App) -> None:
        statement = PreparedRead(ONE)
        with counted_queries(pg_app, with_prepares=True) as sent, pg_app.app_context():
            for _ in range(3):
                assert statement.read({"id": 1}) == {"id": 1, "name": "one"}
        assert [words.split()[0] for words in sent] == ["PREPARE", *["EXECUTE"] * 3]

    def test_one_that_died_while_idle_is_replaced(
        self, pg_app: App, postgres: PostgresServer
    ) -> None:
        statement = PreparedRead(ONE)
        with pg_app.app_context():
            statement.read({"id": 1})
            postgres.end_connections(str(db.engine.url.database))
            assert statement.read({"id": 1}) == {"id": 1, "name": "one"}
            assert statement.read({"id": 1}) == {"id": 1, "name": "one"}
        dispose(pg_app)

    def test_a_column_of_another_type_is_read_as_it_is_now(self, pg_app: App) -> None:
        """PostgreSQL refuses the old plan: `cached plan must not change result type`."""
        statement = PreparedRead(ONE)
        with pg_app.app_context():
            statement.read({"id": 1})
            run(pg_app, "ALTER TABLE bench_things ALTER COLUMN name TYPE varchar(9)")
            for _ in range(2):
                assert statement.read({"id": 1}) == {"id": 1, "name": "one"}

    @pytest.mark.parametrize("there_already", [True, False])
    def test_a_pooler_that_nobody_told_of(self, pg_app: App, there_already: bool) -> None:
        """Between two statements the session behind the connection is another one."""
        statement = PreparedRead(ONE)
        with pg_app.app_context():
            statement.read({"id": 1})
            with db.engines[READS].connect() as connection:
                if there_already:
                    connection.info.clear()
                else:
                    connection.exec_driver_sql("DEALLOCATE ALL")
            assert statement.read({"id": 1}) == {"id": 1, "name": "one"}

    def test_behind_a_pooler_it_is_sent_whole(self, pg_app: App, on_postgres: Deployment) -> None:
        settings = on_postgres.settings
        direct = settings["DATABASE_URL"] + "?application_name=direct"
        with variant(settings, DATABASE_DIRECT_URL=direct) as pooled:
            with counted_queries(pooled) as sent, pooled.app_context():
                assert PreparedRead(ONE).read({"id": 1}) == {"id": 1, "name": "one"}
            assert [words.split()[0] for words in sent] == ["SELECT"]
