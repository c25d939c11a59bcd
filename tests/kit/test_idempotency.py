"""`Idempotency-Key`: done once, answered alike."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from flask import Response
from sqlalchemy import func, select, text, update
from werkzeug.test import TestResponse

from manga_backend.kernel.identity.permissions import USE_OWN_ACCOUNT
from manga_backend.kit import clock
from manga_backend.kit.db import after_commit, before_commit, db, session, transaction
from manga_backend.kit.idempotency import IdempotencyKey, idempotent, purge_idempotency_keys
from manga_backend.kit.jobs import ScheduledRun
from manga_backend.kit.principal import require
from manga_backend.kit.problems import DomainError
from tests.conftest import Deployment
from tests.standins.telegram import BotApiStandIn
from tests.support import Api, Reader, at_once, new_hash
from tests.variants import variant

REPLAYED = "Idempotency-Replayed"


def pay(reader: Reader, key: str, tx_hash: str, **more: Any) -> TestResponse:
    return reader.post("/payment/submit", {"tx_hash": tx_hash, **more}, **{"Idempotency-Key": key})


def payments(reader: Reader) -> int:
    return len(reader.get("/api/payments").get_json())


def change_rows(api: Api, **values: Any) -> None:
    with api.app.app_context(), transaction() as current:
        current.execute(update(IdempotencyKey).values(**values))


def count_rows(api: Api) -> int:
    with api.app.app_context():
        return db.session.scalar(select(func.count()).select_from(IdempotencyKey)) or 0


class TestSameKey:
    def test_same_answer_again(self, api: Api) -> None:
        reader, tx_hash = api.reader(), new_hash()
        first, second = (pay(reader, "key", tx_hash) for _ in range(2))
        assert (first.status_code, second.status_code) == (202, 202)
        assert second.data == first.data
        assert second.content_type == first.content_type
        assert REPLAYED not in first.headers
        assert second.headers[REPLAYED] == "true"
        assert payments(reader) == 1

    def test_other_body_is_refused(self, api: Api) -> None:
        reader = api.reader()
        pay(reader, "key", new_hash())
        answer = pay(reader, "key", new_hash())
        assert (answer.status_code, answer.get_json()["code"]) == (422, "idempotency_key_reused")
        assert payments(reader) == 1

    def test_other_key_is_another_request(self, api: Api) -> None:
        reader, tx_hash = api.reader(), new_hash()
        pay(reader, "one", tx_hash)
        answer = pay(reader, "two", tx_hash)
        assert (answer.status_code, answer.get_json()["code"]) == (409, "transaction_already_used")

    def test_of_another_user_is_another_key(self, api: Api) -> None:
        one, other = api.reader(), api.reader()
        assert pay(one, "key", new_hash()).status_code == 202
        assert pay(other, "key", new_hash()).status_code == 202

    def test_works_after_signing_in_again(self, api: Api) -> None:
        reader, tx_hash = api.reader(), new_hash()
        first = pay(reader, "key", tx_hash)
        reader.sign_in()
        assert pay(reader, "key", tx_hash).data == first.data

    def test_without_a_key_nothing_is_kept(self, api: Api) -> None:
        api.reader().submit()
        assert count_rows(api) == 0

    def test_of_a_strange_shape_is_bad_input(self, fresh: Api) -> None:
        reader = fresh.reader()
        for key in ("", " ", "a b", "k" * 256, "\xd8\xb4", "tab\there"):
            answer = pay(reader, key, new_hash())
            assert answer.status_code == 400
            assert list(answer.get_json()["errors"]) == ["Idempotency-Key"]
        assert count_rows(fresh) == 0

    def test_of_a_sane_shape_is_taken(self, fresh: Api) -> None:
        reader, tx_hash = fresh.reader(), new_hash()
        codes = [pay(reader, key, tx_hash).status_code for key in ("~", "a-1:9/x", "k" * 255)]
        assert codes == [202, 409, 409]
        assert count_rows(fresh) == 3

    def test_needs_a_session_first(self, fresh: Api) -> None:
        answer = fresh.post("/payment/submit", {"tx_hash": new_hash()}, **{"Idempotency-Key": "k"})
        assert answer.get_json()["code"] == "token_missing"
        assert count_rows(fresh) == 0


class TestRefusals:
    def test_by_the_business_is_kept(self, api: Api) -> None:
        reader = api.reader()
        body = {"coupon_code": "AAAA-BBBB-CCCC"}
        first, second = (
            reader.post("/payment/submit", body, **{"Idempotency-Key": "key"}) for _ in range(2)
        )
        assert first.status_code == second.status_code == 404
        assert second.get_json()["code"] == first.get_json()["code"] == "coupon_not_found"
        assert second.mimetype == "application/problem+json"
        assert second.headers[REPLAYED] == "true"

    def test_replayed_bears_the_id_of_its_own_request(self, api: Api) -> None:
        reader = api.reader()
        for number in ("first", "second"):
            answer = reader.post(
                "/payment/submit",
                {"coupon_code": "AAAA-BBBB-CCCC"},
                **{"Idempotency-Key": "key", "X-Request-ID": number},
            )
        assert answer.get_json()["request_id"] == "second"

    def test_bad_input_is_not_kept(self, api: Api) -> None:
        reader = api.reader()
        assert pay(reader, "key", "short").status_code == 400
        assert pay(reader, "key", new_hash()).status_code == 202


class TestRunning:
    def test_second_is_told_so_on_postgresql(self, pg_api: Api) -> None:
        reader, tx_hash = pg_api.reader(), new_hash()
        with pg_api.app.app_context():
            engine = db.engine
        with ThreadPoolExecutor(1) as pool:
            with engine.begin() as blocker:
                blocker.execute(text("LOCK TABLE payments IN SHARE MODE"))
                first = pool.submit(pay, reader, "key", tx_hash)
                wait_for_claim(pg_api)
                second = pay(reader, "key", tx_hash)
            assert first.result(10).status_code == 202
        assert (second.status_code, second.get_json()["code"]) == (409, "idempotency_key_running")
        assert int(second.headers["Retry-After"]) >= 1
        assert pay(reader, "key", tx_hash).data == first.result().data
        assert payments(reader) == 1

    def test_key_of_a_dead_request_is_free_after_its_lease(self, api: Api) -> None:
        reader, tx_hash = api.reader(), new_hash()
        pay(reader, "key", tx_hash)
        change_rows(api, status=None, leased_until=clock.now() + timedelta(seconds=5))
        assert pay(reader, "key", tx_hash).get_json()["code"] == "idempotency_key_running"
        change_rows(api, leased_until=clock.now() - timedelta(seconds=1))
        assert pay(reader, "key", tx_hash).get_json()["code"] == "transaction_already_used"

    def test_twenty_at_once_make_one_payment(self, api: Api) -> None:
        reader, tx_hash = api.reader(), new_hash()
        answers = at_once(20, lambda _: pay(reader, "key", tx_hash))
        assert {answer.status_code for answer in answers} <= {202, 409}
        done = {a.get_json()["payment_id"] for a in answers if a.status_code == 202}
        assert len(done) == 1
        codes = {a.get_json()["code"] for a in answers if a.status_code == 409}
        assert codes <= {"idempotency_key_running"}
        assert payments(reader) == 1


def wait_for_claim(api: Api) -> None:
    deadline = clock.now() + timedelta(seconds=10)
    while not count_rows(api):
        assert clock.now() < deadline, "the first request did not begin"


class TestTime:
    def test_key_is_new_again_after_a_day(self, api: Api) -> None:
        reader = api.reader()
        pay(reader, "key", new_hash())
        with time_machine.travel(clock.now() + timedelta(hours=24, seconds=1)):
            reader.sign_in()
            assert pay(reader, "key", new_hash()).status_code == 202
        assert payments_of(api, reader) == 2

    def test_key_is_kept_for_a_day(self, api: Api) -> None:
        reader, tx_hash = api.reader(), new_hash()
        pay(reader, "key", tx_hash)
        with time_machine.travel(clock.now() + timedelta(hours=23, minutes=59)):
            reader.sign_in()
            assert pay(reader, "key", tx_hash).headers[REPLAYED] == "true"

    def test_purge_forgets_only_old_ones(self, api: Api) -> None:
        pay(api.reader(), "old", new_hash())
        change_rows(api, created_at=clock.now() - timedelta(hours=25))
        pay(api.reader(), "new", new_hash())
        with api.app.app_context():
            purge_idempotency_keys()
        assert count_rows(api) == 1


def payments_of(api: Api, reader: Reader) -> int:
    reader.sign_in()
    return payments(reader)


class Refused(DomainError):
    status = 409
    code = "refused_here"


class RefusedAndKept(Refused):
    code = "refused_and_kept"
    keeps_changes = True


class Broken(DomainError):
    status = 503
    code = "dependency_away"


@pytest.fixture
def acted(deployment: Deployment, bot: BotApiStandIn) -> Iterator[tuple[Reader, list[str]]]:
    """A reader of an app with a route that acts and then fails in a chosen way."""
    done: list[str] = []
    failures: dict[str, type[Exception]] = {
        "refused": Refused,
        "kept": RefusedAndKept,
        "broken": Broken,
        "fault": RuntimeError,
    }
    with variant(deployment.settings) as app:

        @app.route("/act/<how>", methods=["POST"])
        @require(USE_OWN_ACCOUNT)
        @idempotent
        def act(how: str) -> Response:
            done.append("view")
            before_commit("sum", lambda: done.append("before"))
            after_commit(lambda: done.append("after"))
            session().add(ScheduledRun(name=how, due_at=clock.now()))
            session().flush()
            if how in failures:
                raise failures[how]
            return Response("fine", 200)

        yield Api(app, bot).reader(), done


def was_kept(reader: Reader, name: str) -> bool:
    with reader.api.app.app_context():
        return db.session.get(ScheduledRun, name) is not None


class TestChanges:
    def test_of_a_success_are_made_once(self, acted: tuple[Reader, list[str]]) -> None:
        reader, done = acted
        for _ in range(2):
            assert reader.post("/act/fine", **{"Idempotency-Key": "k"}).text == "fine"
        assert done == ["view", "before", "after"]
        assert was_kept(reader, "fine")

    def test_of_a_refusal_leave_nothing_behind(self, acted: tuple[Reader, list[str]]) -> None:
        reader, done = acted
        for _ in range(2):
            answer = reader.post("/act/refused", **{"Idempotency-Key": "k"})
            assert answer.get_json()["code"] == "refused_here"
        assert done == ["view"]
        assert not was_kept(reader, "refused")

    def test_of_a_refusal_that_is_a_fact_are_kept(self, acted: tuple[Reader, list[str]]) -> None:
        reader, done = acted
        for _ in range(2):
            answer = reader.post("/act/kept", **{"Idempotency-Key": "k"})
            assert answer.get_json()["code"] == "refused_and_kept"
        assert done == ["view", "before", "after"]
        assert was_kept(reader, "kept")

    @pytest.mark.parametrize("how", ["fault", "broken"])
    def test_of_a_fault_are_gone_and_the_key_may_try_again(
        self, acted: tuple[Reader, list[str]], how: str
    ) -> None:
        reader, done = acted
        for _ in range(2):
            answer = reader.post(f"/act/{how}", **{"Idempotency-Key": "k"})
            assert answer.status_code >= 500
            assert REPLAYED not in answer.headers
        assert done == ["view", "view"]
        assert not was_kept(reader, how)
        assert count_rows(reader.api) == 0
