"""A prepared select gives what the select itself would give, and outlives its connection."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Select, text

from manga_backend.kernel.identity import queries
from manga_backend.kernel.identity.models import Session
from manga_backend.kernel.notifications.queries import with_unread
from manga_backend.kit.db import READS, db, read_one
from manga_backend.kit.prepared import PreparedSelect
from manga_backend.products.manga.queries import with_end, with_status
from tests.kernel.factories import at_work, make_coupon, make_reader
from tests.support import Api

Widen = Callable[[Select[Any]], Select[Any]]
WIDENED = {
    "nothing": lambda statement: statement,
    "status": with_status,
    "end": with_end,
    "telegram": queries.with_telegram,
    "unread": with_unread,
}


def session_of(api: Api, paid: bool) -> uuid.UUID:
    reader = make_reader(api)
    if paid:
        code = make_coupon(api.app, days=30)
        assert reader.post("/payment/submit", {"coupon_code": code}).status_code == 200
        reader.submit()
    with at_work(api.app) as current:
        found: uuid.UUID = current.query(Session.id).filter_by(user_id=api.user_id(reader)).scalar()
    return found


@pytest.mark.parametrize("paid", [True, False])
@pytest.mark.parametrize("what", WIDENED)
def test_gives_the_values_of_the_select_itself(api: Api, what: str, paid: bool) -> None:
    statement = WIDENED[what](queries.caller_statement())
    session_id = session_of(api, paid)
    with api.app.app_context():
        wanted = read_one(statement, {"session_id": session_id})
        prepared = PreparedSelect(f"test_{what}", statement, "session_id")
        for _ in range(2):
            found = prepared.first(session_id)
            assert found is not None
            assert wanted is not None
            assert dict(found) == dict(wanted)
            assert {k: type(v) for k, v in found.items()} == {k: type(v) for k, v in wanted.items()}
        assert prepared.first(uuid.uuid4()) is None


def test_is_prepared_anew_on_another_connection(pg_api: Api) -> None:
    prepared = PreparedSelect("test_again", queries.caller_statement(), "session_id")
    session_id = session_of(pg_api, paid=False)
    with pg_api.app.app_context():
        assert prepared.first(session_id)
        cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
        with db.engine.connect() as connection:
            connection.execute(text(f"{cut} AND datname = current_database()"))
        assert prepared.first(session_id)
        db.engines[READS].dispose()
        assert prepared.first(session_id)
