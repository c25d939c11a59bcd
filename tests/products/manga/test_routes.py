"""The reader's status, and the gate before the manga files."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

import pytest
import time_machine

from manga_backend.kernel.approvals.types import Decision
from manga_backend.kernel.backoffice.types import CLI
from manga_backend.kernel.identity.models import User
from manga_backend.kernel.identity.service import accounts
from manga_backend.kernel.identity.service.sessions import open_session
from manga_backend.kernel.identity.service.tokens import issue_tokens
from manga_backend.kernel.identity.types import Device, Role
from manga_backend.kit import clock
from manga_backend.products.manga.schemas import StatusSchema
from tests.conftest import Deployment
from tests.kernel.factories import (
    at_work,
    decide,
    end_of,
    make_coupon,
    make_reader,
    submit,
)
from tests.standins.telegram import BotApiStandIn
from tests.support import Api, Reader, counted_queries
from tests.variants import variant_api

ACCESS = "/api/user/access"
NOBODY = {"active": False, "plan": None, "started_at": None, "expires_at": None}


def subscribe(api: Api, reader: Reader, days: int = 30) -> None:
    code = make_coupon(api.app, days=days)
    assert reader.post("/payment/submit", {"coupon_code": code}).status_code == 200


def ban(api: Api, reader: Reader) -> None:
    with at_work(api.app):
        accounts.ban(api.user_id(reader), CLI, Role.SUPERUSER, "spam")


def replace(api: Api, reader: Reader) -> None:
    """Signs in elsewhere, and goes on with the tokens from before."""
    api.sign_in(reader.username)


class TestStatus:
    def test_of_someone_new(self, api: Api) -> None:
        reader = make_reader(api)
        assert reader.status() == {
            "username": reader.username,
            "subscription": {**NOBODY, "days_remaining": 0},
            "purchases_count": 0,
            "pending_payments": 0,
            "last_payment": None,
            "unread_notifications": 0,
        }

    def test_of_a_subscriber(self, api: Api) -> None:
        reader = make_reader(api)
        subscribe(api, reader, 7)
        found = reader.status()
        subscription = found["subscription"]
        assert (subscription["active"], subscription["plan"]) == (True, "monthly")
        assert subscription["days_remaining"] == 7
        assert subscription["started_at"].endswith("Z")
        assert subscription["expires_at"].endswith("Z")
        assert (found["purchases_count"], found["unread_notifications"]) == (1, 1)

    def test_shows_the_newest_payment_whatever_became_of_the_others(self, api: Api) -> None:
        reader = make_reader(api)
        user_id = api.user_id(reader)
        first, second, third = (submit(api.app, user_id) for _ in range(3))
        decide(api.app, first, Decision.APPROVE)
        decide(api.app, second, Decision.REJECT)
        found = reader.status()
        assert set(found["last_payment"]) == {"id", "status", "submitted_at"}
        assert (found["last_payment"]["id"], found["last_payment"]["status"]) == (
            str(third),
            "pending",
        )
        assert (found["purchases_count"], found["pending_payments"]) == (1, 1)
        assert found["unread_notifications"] == 2

    @pytest.mark.parametrize("paid", [False, True])
    def test_is_what_its_schema_documents(self, api: Api, paid: bool) -> None:
        """The answer is written without the schema (decision 22)."""
        reader = make_reader(api)
        if paid:
            subscribe(api, reader)
        answer, schema = reader.status(), StatusSchema()
        assert answer.keys() == schema.fields.keys()
        read = schema.load(answer)  # strict: nothing unknown, nothing missing, each of its kind
        assert schema.dump(read) == answer

    def test_knows_nothing_of_others(self, api: Api) -> None:
        other, reader = make_reader(api), make_reader(api)
        subscribe(api, other)
        other.submit()
        assert reader.status()["subscription"] == {**NOBODY, "days_remaining": 0}
        assert reader.status()["last_payment"] is None

    def test_an_end_in_the_past_is_shown_but_not_active(self, api: Api) -> None:
        reader = make_reader(api)
        subscribe(api, reader, 1)
        end = end_of(api.app, api.user_id(reader))
        with time_machine.travel(end - timedelta(minutes=10)):
            later = api.reader()
            subscribe(api, later, 1)
            assert later.status()["subscription"]["days_remaining"] == 1
        with time_machine.travel(end + timedelta(days=2)):
            reader = late(api, reader)
            subscription = reader.status()["subscription"]
        assert (subscription["active"], subscription["days_remaining"]) == (False, 0)
        assert subscription["plan"] == "monthly"
        assert subscription["expires_at"] == clock.isoformat(end)

    def test_is_exactly_one_statement(self, api: Api) -> None:
        reader = make_reader(api)
        subscribe(api, reader)
        for _ in range(3):
            reader.submit()
        with counted_queries(api.app) as statements:
            reader.status()
        assert len(statements) == 1, statements


def late(api: Api, reader: Reader) -> Reader:
    """The same reader, signed in at this hour: a token lives for 60 minutes."""
    user_id = api.user_id(reader)
    with at_work(api.app) as current:
        user = current.get_one(User, user_id)
        session = open_session(user, product="manga", limit=1, device=Device())
        token = issue_tokens(user, session).access_token
    return Reader(api, reader.username, reader.telegram_id, {"access_token": token})


class TestAccess:
    def test_a_subscriber_may_read(self, api: Api) -> None:
        reader = make_reader(api)
        subscribe(api, reader)
        answer = reader.get(ACCESS)
        assert (answer.status_code, answer.data) == (204, b"")

    def test_others_have_to_pay(self, api: Api) -> None:
        answer = make_reader(api).get(ACCESS)
        assert (answer.status_code, answer.get_json()["code"]) == (402, "subscription_required")

    def test_ends_at_the_very_moment(self, api: Api) -> None:
        reader = make_reader(api)
        subscribe(api, reader, 1)
        end = end_of(api.app, api.user_id(reader))
        with time_machine.travel(end - timedelta(milliseconds=1), tick=False):
            assert late(api, reader).get(ACCESS).status_code == 204
        with time_machine.travel(end + timedelta(milliseconds=1), tick=False):
            assert late(api, reader).get(ACCESS).status_code == 402

    @pytest.mark.parametrize("query", ["", "?gate=nginx"])
    def test_is_exactly_one_statement(self, api: Api, query: str) -> None:
        reader = make_reader(api)
        subscribe(api, reader)
        with counted_queries(api.app) as statements:
            assert reader.get(ACCESS + query).status_code == 204
        assert len(statements) == 1, statements

    def test_writes_nothing_and_opens_no_transaction(self, api: Api) -> None:
        with counted_queries(api.app) as statements:
            make_reader_get_nothing(api)
        assert not [s for s in statements if s.upper().startswith(("BEGIN", "INSERT", "UPDATE"))]

    def test_answers_with_a_trailing_slash_too(self, api: Api) -> None:
        assert make_reader(api).get(f"{ACCESS}/").status_code == 402


def make_reader_get_nothing(api: Api) -> None:
    answer = api.client().get(ACCESS, headers={"Authorization": "Bearer x"})
    assert answer.status_code == 401


class TestGate:
    """Nginx's auth_request knows 2xx, 401 and 403 and nothing else."""

    def test_204_for_a_subscriber(self, api: Api) -> None:
        reader = make_reader(api)
        subscribe(api, reader)
        assert reader.get(f"{ACCESS}?gate=nginx").status_code == 204

    def test_403_without_a_subscription(self, api: Api) -> None:
        answer = make_reader(api).get(f"{ACCESS}?gate=nginx")
        assert (answer.status_code, answer.get_json()["code"]) == (403, "subscription_required")

    @pytest.mark.parametrize("header", [None, "Bearer", "Bearer nonsense", "Basic eDp4"])
    def test_401_without_a_token(self, api: Api, header: str | None) -> None:
        headers = {"Authorization": header} if header else {}
        answer = api.client().get(f"{ACCESS}?gate=nginx", headers=headers)
        assert answer.status_code == 401

    def test_another_gate_is_400(self, api: Api) -> None:
        assert make_reader(api).get(f"{ACCESS}?gate=apache").status_code == 400


class TestLostSession:
    @pytest.mark.parametrize("path", ["/api/user/status", ACCESS, f"{ACCESS}?gate=nginx"])
    @pytest.mark.parametrize(
        ("lose", "code"), [(ban, "session_revoked"), (replace, "session_replaced")]
    )
    def test_is_refused_with_the_very_next_request(
        self, api: Api, path: str, lose: Callable[[Api, Reader], None], code: str
    ) -> None:
        reader = api.reader()
        subscribe(api, reader)
        assert reader.get(path).status_code in (200, 204)
        lose(api, reader)
        answer = reader.get(path)
        assert (answer.status_code, answer.get_json()["code"]) == (401, code)

    def test_paying_is_refused_as_well(self, api: Api) -> None:
        reader = api.reader()
        ban(api, reader)
        assert reader.submit().status_code == 401


class TestSignedFolder:
    """For `<img>`, which sends no header; that Nginx takes it: deployment/test_nginx.py."""

    @pytest.fixture
    def signing(self, deployment: Deployment, bot: BotApiStandIn) -> Iterator[Api]:
        with variant_api(deployment, bot, MANGA_FILES_SECRET="signs-addresses-of-files") as api:
            yield api

    def test_holds_for_ten_minutes(self, signing: Api) -> None:
        reader = make_reader(signing)
        subscribe(signing, reader)
        answer = reader.get(f"{ACCESS}?path=/manga/one-piece/12/")
        assert answer.status_code == 200
        found = answer.get_json()
        assert sorted(found) == ["expires_at", "url"]
        left = datetime.fromisoformat(found["expires_at"]) - clock.now()
        assert timedelta(minutes=9) < left <= timedelta(minutes=10)
        assert re.fullmatch(r"/manga-signed/[\w-]{22}/\d{10}/one-piece/12/~/", found["url"]), found[
            "url"
        ]

    def test_does_not_outlive_the_subscription(self, signing: Api) -> None:
        reader = make_reader(signing)
        subscribe(signing, reader, 1)
        end = end_of(signing.app, signing.user_id(reader))
        with time_machine.travel(end - timedelta(minutes=2), tick=False):
            found = late(signing, reader).get(f"{ACCESS}?path=/manga/x/").get_json()
            assert datetime.fromisoformat(found["expires_at"]) == end.replace(microsecond=0)

    def test_is_for_who_paid(self, signing: Api) -> None:
        assert make_reader(signing).get(f"{ACCESS}?path=/manga/x/").status_code == 402

    @pytest.mark.parametrize(
        "path",
        [
            *("/etc/", "/manga", "/manga/x", "manga/x/", "/manga/../etc/", "/manga//x/"),
            *("/manga/~/x/", "/manga/./x/", "/manga/x%2F..%2F/", "/manga/x%0Ay/", ""),
        ],
    )
    def test_only_of_a_folder_below_the_prefix(self, signing: Api, path: str) -> None:
        reader = make_reader(signing)
        subscribe(signing, reader)
        answer = reader.get(f"{ACCESS}?path={path}")
        assert (answer.status_code, answer.get_json()["code"]) == (400, "invalid_input")
        assert list(answer.get_json()["errors"]) == ["path"]

    def test_is_not_there_without_a_secret(self, api: Api) -> None:
        reader = make_reader(api)
        subscribe(api, reader)
        answer = reader.get(f"{ACCESS}?path=/manga/x/")
        assert (answer.status_code, answer.get_json()["code"]) == (404, "files_not_signed")
