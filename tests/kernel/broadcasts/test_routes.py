"""/admin/system/broadcasts: who may, what is refused, and how it is told."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from manga_backend.kernel.broadcasts.models import Broadcast
from manga_backend.kernel.identity.types import Role
from tests.kernel.broadcasts.factories import audited, feed, make_users, messages, start, write
from tests.kernel.factories import count, make_reader
from tests.support import Api, Reader, counted_queries

ROOT = "/admin/system/broadcasts"
BODY = {"texts": {"en": "<b>hello</b>"}}
READ = (("GET", ""), ("GET", "/{id}"), ("GET", "/{id}/preview"))
SEND = (
    ("POST", ""),
    ("PATCH", "/{id}"),
    *(("POST", f"/{{id}}/{word}") for word in ("test", "start", "pause", "resume", "cancel")),
)


def call(reader: Reader | None, api: Api, method: str, path: str, json: Any = None) -> Any:
    headers = reader.auth if reader else {}
    return api.client().open(ROOT + path, method=method, json=json, headers=headers)


@pytest.fixture
def boss(api: Api) -> Reader:
    """An admin with a token."""
    return make_reader(api, role=Role.ADMIN)


def create(api: Api, boss: Reader, **more: Any) -> Any:
    answer = call(boss, api, "POST", "", {**BODY, **more})
    assert answer.status_code == 201, answer.text
    return answer.get_json()


class TestRights:
    @pytest.mark.parametrize(("method", "path"), [*READ, *SEND])
    def test_each_route_asks_for_its_right(self, api: Api, method: str, path: str) -> None:
        path = path.format(id=write(api.app))
        needed = Role.SUPPORT if (method, path) in READ or method == "GET" else Role.ADMIN
        body = BODY if method in ("PATCH", "POST") and path.count("/") < 2 else None
        assert call(None, api, method, path, body).status_code == 401
        for role in Role:
            answer = call(make_reader(api, role=role), api, method, path, body)
            if role.rank < needed.rank:
                assert (answer.status_code, answer.get_json()["code"]) == (403, "forbidden")
            else:
                assert answer.status_code in (200, 201, 202, 409), answer.text

    def test_whoever_may_not_changes_nothing(self, api: Api) -> None:
        broadcast_id = write(api.app)
        before = audited(api.app)
        for method, path in SEND:
            call(make_reader(api), api, method, path.format(id=broadcast_id), BODY)
        assert audited(api.app) == before


class TestCreate:
    def test_a_draft_comes_back(self, api: Api, boss: Reader) -> None:
        make_users(api.app, 3, language="fa")
        made = create(api, boss, audience="all", language="fa")
        assert made["texts"] == BODY["texts"]
        assert (made["state"], made["audience"], made["language"]) == ("draft", "all", "fa")
        assert (made["product"], made["started_at"], made["percent"]) == (None, None, 0)
        assert made["created_by"] == boss.username
        assert made["counts"]["audience"] == made["counts"]["left"] == 3
        assert call(boss, api, "GET", f"/{made['id']}").get_json() == made
        assert audited(api.app) == [(boss.username, "broadcast.created")]

    @pytest.mark.parametrize(
        ("body", "field"),
        [
            ({}, "texts"),
            ({"texts": {}}, "texts"),
            ({"texts": {"de": "x"}}, "texts"),
            ({"texts": {"en": 5}}, "texts"),
            ({"texts": "x"}, "texts"),
            ({"texts": {"en": " "}}, "texts.en"),
            ({"texts": {"en": "<b>x"}}, "texts.en"),
            ({"texts": {"en": "x" * 4097}}, "texts.en"),
            ({**BODY, "audience": "some"}, "audience"),
            ({**BODY, "audience": None}, "audience"),
            ({**BODY, "language": "de"}, "language"),
            ({**BODY, "product": ""}, "product"),
            ({**BODY, "product": "tea"}, "product"),
            ({**BODY, "state": "running"}, "state"),
        ],
    )
    def test_bad_input_names_its_field(
        self, api: Api, boss: Reader, body: dict[str, Any], field: str
    ) -> None:
        answer = call(boss, api, "POST", "", body)
        assert answer.status_code == 400, answer.text
        assert answer.content_type == "application/problem+json"
        assert answer.get_json()["code"] == "invalid_input"
        assert list(answer.get_json()["errors"]) == [field]
        assert count(api.app, Broadcast) == 0

    def test_the_same_key_makes_one(self, api: Api, boss: Reader) -> None:
        first = boss.post(ROOT, BODY, **{"Idempotency-Key": "k"})
        again = boss.post(ROOT, BODY, **{"Idempotency-Key": "k"})
        assert (first.status_code, again.status_code) == (201, 201)
        assert first.get_json() == again.get_json()
        assert count(api.app, Broadcast) == 1


class TestOne:
    def test_unknown_ids_are_not_found(self, api: Api, boss: Reader) -> None:
        for method, path in (*READ[1:], *SEND[1:]):
            answer = call(boss, api, method, path.format(id=uuid.uuid4()), {})
            assert answer.status_code == 404, (method, path)
            assert answer.get_json()["code"] == "broadcast_not_found"

    def test_a_draft_is_edited_in_parts(self, api: Api, boss: Reader) -> None:
        path = f"/{create(api, boss, language='fa')['id']}"
        answer = call(boss, api, "PATCH", path, {"audience": "expired", "language": None})
        assert answer.status_code == 200
        body = answer.get_json()
        assert (body["audience"], body["language"]) == ("expired", None)
        assert body["texts"] == BODY["texts"]
        answer = call(boss, api, "PATCH", path, {"texts": {"fa": "<x>"}})
        assert list(answer.get_json()["errors"]) == ["texts.fa"]

    def test_a_preview(self, api: Api, boss: Reader) -> None:
        make_users(api.app, 2)
        made = create(api, boss, language="ru")
        shown = call(boss, api, "GET", f"/{made['id']}/preview").get_json()
        assert shown == {"audience": 0, "texts": {"ru": "<b>hello</b>"}}

    def test_a_test_goes_to_the_caller(self, api: Api, boss: Reader) -> None:
        made = create(api, boss)
        answer = call(boss, api, "POST", f"/{made['id']}/test")
        assert (answer.status_code, answer.get_json()) == (202, {"queued": 1})
        api.deliver()
        assert api.question(boss.telegram_id, "hello").html == "<b>hello</b>"

    def test_a_test_for_nobody_is_refused(self, api: Api) -> None:
        boss = make_reader(api, role=Role.ADMIN, telegram_id=None)
        answer = call(boss, api, "POST", f"/{create(api, boss)['id']}/test")
        assert (answer.status_code, answer.get_json()["code"]) == (409, "no_telegram_chat")

    def test_a_step_out_of_turn_names_the_state(self, api: Api, boss: Reader) -> None:
        made = create(api, boss)
        path = f"/{made['id']}"
        assert call(boss, api, "POST", path + "/start").get_json()["state"] == "running"
        answer = call(boss, api, "POST", path + "/start")
        body = answer.get_json()
        assert (answer.status_code, body["code"]) == (409, "broadcast_step_not_allowed")
        assert (body["errors"], "running" in body["detail"]) == ({"state": ["running"]}, True)
        assert call(boss, api, "PATCH", path, BODY).status_code == 409
        assert call(boss, api, "POST", path + "/pause").get_json()["state"] == "paused"
        assert call(boss, api, "POST", path + "/resume").get_json()["state"] == "running"
        ended = call(boss, api, "POST", path + "/cancel").get_json()
        assert ended["state"] == "cancelled"
        assert ended["finished_at"] is not None
        assert [who for who, _action in audited(api.app)] == [boss.username] * 5


class TestList:
    def test_is_paged_newest_first_at_a_constant_price(self, api: Api, boss: Reader) -> None:
        make_users(api.app, 2)
        ids = [str(start(api.app))]
        feed(api.app)
        seen = []
        for more in (2, 9):
            ids += [str(write(api.app)) for _ in range(more)]
            with counted_queries(api.app) as statements:
                answer = call(boss, api, "GET", "?page_size=10")
            seen.append(len([s for s in statements if "SELECT" in s]))
            assert [row["id"] for row in answer.get_json()] == ids[::-1][:10]
        assert seen[0] == seen[1] <= 3
        last = call(boss, api, "GET", "?page_size=10&page=2").get_json()
        assert [row["id"] for row in last] == ids[1::-1]
        # The two users, and the boss.
        assert (last[-1]["audience_size"], last[0]["audience_size"]) == (3, None)

    def test_one_costs_the_same_however_many_it_is_for(self, api: Api, boss: Reader) -> None:
        seen = []
        for many in (2, 40):
            make_users(api.app, many)
            broadcast_id = start(api.app)
            feed(api.app)
            assert len(messages(api.app, broadcast_id)) >= many
            with counted_queries(api.app) as statements:
                call(boss, api, "GET", f"/{broadcast_id}")
            seen.append(len([s for s in statements if "SELECT" in s]))
        assert seen[0] == seen[1] <= 4
