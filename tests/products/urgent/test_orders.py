"""The life of an order, by the server's clock."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
import time_machine

from manga_backend.kernel.backoffice.types import CLI
from manga_backend.kernel.identity.service.accounts import ban
from manga_backend.kernel.identity.types import Role
from manga_backend.kit import clock
from manga_backend.products.urgent.models import Order
from tests.conftest import Deployment
from tests.kernel.factories import at_work, rows
from tests.products.urgent.factories import (
    CONTACT,
    ORDER,
    Person,
    close_due,
    deliver,
    executor,
    person,
)
from tests.standins.telegram import BotApiStandIn
from tests.support import Api, at_once, counted_queries
from tests.variants import variant_api


def at(start: datetime, **after: int) -> Any:
    """The clock stands still so long after a moment."""
    return time_machine.travel(start + timedelta(**after), tick=False)


def code(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.get_json()["code"]


@pytest.fixture
def start() -> datetime:
    return clock.now().replace(microsecond=0)


class TestPost:
    def test_answers_in_the_document_s_fields(self, api: Api, start: datetime) -> None:
        with at(start):
            order = person(api, "Анна").order()
        assert order["expires_in_minutes"] == order["minutes_left"] == 60
        assert (order["status"], order["city_locked"]) == ("active", True)
        assert order["contact"] == CONTACT
        assert len(order["id"]) == 12
        assert order["id"].isalnum()

    def test_ignores_unknown_fields_and_tidies_lines(self, api: Api) -> None:
        order = person(api).order(city="  Казань \n ", nonsense=1, expires_in_minutes=60)
        assert order["city"] == "Казань"

    def test_compares_names_however_they_are_composed(self, api: Api) -> None:
        order = person(api).order(city="Йошкар-Ола", category="San\u200bi\u202etär")
        assert order["category"] == "Sanitär"
        for city in ("Йошкар-Ола", "ЙОШКАР-ОЛА"):
            assert [o["id"] for o in listed(api, f"?city={city}")] == [order["id"]]

    @pytest.mark.parametrize(
        "wrong",
        [
            {"description": "short"},
            {"description": "          "},
            {"description": "x" * 2001},
            {"category": ""},
            {"category": "\u200b\u2060"},
            {"description": "\u200b" * 10},
            {"city": " "},
            {"contact": "call me"},
            {"contact": "@ab"},
            {"contact": "+7 900"},
            {"contact": "1" * 33},
            {"expires_in_minutes": 61},
        ],
    )
    def test_refuses_what_is_wrong(self, api: Api, wrong: dict[str, Any]) -> None:
        answer = person(api).post("/api/orders", {**ORDER, **wrong})
        assert code(answer) == (400, "invalid_input")
        assert list(answer.get_json()["errors"]) == list(wrong)
        assert rows(api.app, Order) == []

    @pytest.mark.parametrize("contact", ["@anna_k", "+79005553535", "8 (900) 555-35-35"])
    def test_takes_phones_and_names(self, api: Api, contact: str) -> None:
        assert person(api).order(contact=contact)["contact"] == contact

    def test_ten_an_hour_and_no_more(
        self, deployment: Deployment, bot: BotApiStandIn, start: datetime
    ) -> None:
        with variant_api(deployment, bot, RATELIMIT_ENABLED="1") as api:
            client = person(api)
            with at(start):
                statuses = [r.status_code for r in at_once(12, lambda _: post(client))]
                assert sorted(statuses) == [201] * 10 + [429] * 2
                refused = post(client)
                assert code(refused) == (429, "too_many_orders")
                assert int(refused.headers["Retry-After"]) == 3601
            with at(start, minutes=60):
                assert post(client).status_code == 201


def post(client: Person) -> Any:
    return client.post("/api/orders", ORDER)


class TestClock:
    def test_active_to_the_last_second(self, api: Api, start: datetime) -> None:
        with at(start):
            client = person(api)
            order = client.order()["id"]
        with at(start, minutes=59, seconds=59):
            close_due(api)
            seen = client.see(order)
            assert (seen["status"], seen["minutes_left"]) == ("active", 0)
            assert executor(api).take(order).status_code == 200

    def test_expired_at_sixty_minutes_even_before_it_is_closed(
        self, api: Api, start: datetime
    ) -> None:
        with at(start):
            client = person(api)
            order = client.order()["id"]
        with at(start, minutes=60):
            assert client.see(order)["status"] == "expired"
            assert listed(api) == []
            assert code(executor(api).take(order)) == (409, "order_not_active")
            close_due(api)
            close_due(api)
            assert client.see(order)["status"] == "expired"
            assert [o["id"] for o in listed(api, "?status=expired")] == [order]

    def test_fifteen_silent_minutes_give_each_executor_the_money_back(
        self, api: Api, start: datetime
    ) -> None:
        with at(start):
            client, takers = person(api), [executor(api), executor(api)]
            order = client.order()["id"]
        with at(start, minutes=1):
            takers[0].take(order)
        with at(start, minutes=10):
            takers[1].take(order)
        with at(start, minutes=15, seconds=59):
            close_due(api)
            assert client.see(order)["status"] == "active"
        with at(start, minutes=16):
            assert listed(api) == []  # even before it is closed
            close_due(api)
            close_due(api)
            assert client.see(order)["status"] == "closed_no_response"
            assert [taker.balance for taker in takers] == [10, 10]
            types = [t["type"] for t in takers[0].get("/api/balance/transactions").get_json()]
            assert types == ["refund", "order_take", "correction"]
        deliver(api)
        told = api.bot.wait_for_message(takers[0].telegram_id, contains="2 ₽", timeout=30)
        assert "15 минут" in told.text

    def test_the_client_has_fifteen_minutes_past_the_hour_too(
        self, api: Api, start: datetime
    ) -> None:
        with at(start):
            client, taker = person(api), executor(api)
            order = client.order()["id"]
        with at(start, minutes=58):
            taker.take(order)
        with at(start, minutes=65):
            close_due(api)
            assert client.see(order)["status"] == "active"
            assert listed(api) == []
            assert code(executor(api).take(order)) == (409, "order_not_active")
            answered = client.post(
                f"/api/orders/{order}/respond", {"executor_id": taker.telegram_id}
            )
            assert answered.get_json()["status"] == "expired"
            close_due(api)
        assert taker.balance == 8

    def test_answered_it_expires_and_can_be_completed_for_a_day(
        self, api: Api, start: datetime
    ) -> None:
        with at(start):
            client, taker = person(api), executor(api)
            first, second = client.order()["id"], client.order()["id"]
            for order in (first, second):
                taker.take(order)
                who = {"executor_id": taker.telegram_id}
                assert client.post(f"/api/orders/{order}/respond", who).status_code == 200
        with at(start, minutes=61):
            close_due(api)
            assert client.see(first)["status"] == "expired"
        with at(start, hours=24, minutes=59):
            done = client.post(f"/api/orders/{first}/complete", who)
            assert done.get_json()["status"] == "completed"
            assert client.post(f"/api/orders/{first}/complete", who).status_code == 200
        with at(start, hours=25):
            late = client.post(f"/api/orders/{second}/complete", who)
            assert code(late) == (409, "order_not_active")
        assert taker.get("/api/users/me").get_json()["completed_orders_count"] == 1


def listed(api: Api, query: str = "") -> list[dict[str, Any]]:
    answer = api.client().get(f"/api/orders{query}")
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.get_json()
    return found


class TestOwner:
    def test_changes_before_anyone_took_it(self, api: Api) -> None:
        client = person(api)
        order = client.order()["id"]
        changed = client.put(
            f"/api/orders/{order}", {"description": "Уже не срочно, но нужно", "city": "казань"}
        )
        assert changed.get_json()["description"] == "Уже не срочно, но нужно"
        assert changed.get_json()["city"] == "Казань"
        assert [o["id"] for o in listed(api, "?q=срочно")] == [order]
        other = client.put(f"/api/orders/{order}", {"city": "Москва"})
        assert code(other) == (422, "city_locked")
        unchanged = client.put(f"/api/orders/{order}", {"city": "Казань", "nonsense": 1})
        assert unchanged.status_code == 200
        executor(api).take(order)
        late = client.put(f"/api/orders/{order}", {"contact": "@another"})
        assert code(late) == (409, "order_taken")
        assert code(client.call("DELETE", f"/api/orders/{order}")) == (409, "order_taken")

    def test_deletes_and_it_is_gone_for_others(self, api: Api) -> None:
        client, other = person(api), person(api)
        order = client.order()["id"]
        assert client.call("DELETE", f"/api/orders/{order}").status_code == 204
        assert client.see(order)["status"] == "deleted"
        assert code(other.get(f"/api/orders/{order}")) == (404, "order_not_found")
        assert listed(api) == []
        again = client.call("DELETE", f"/api/orders/{order}")
        assert code(again) == (409, "order_not_active")

    def test_closes_early_and_pays_back_if_nobody_was_answered(self, api: Api) -> None:
        client, taker = person(api), executor(api)
        first, second = client.order()["id"], client.order()["id"]
        taker.take(first)
        taker.take(second)
        client.post(f"/api/orders/{second}/respond", {"executor_id": taker.telegram_id})
        for order in (first, second):
            closed = client.post(f"/api/orders/{order}/close")
            assert closed.get_json()["status"] == "deleted"
        assert taker.balance == 8

    @pytest.mark.parametrize("action", ["respond", "complete"])
    def test_names_only_who_took_it(self, api: Api, action: str) -> None:
        client, taker, other = person(api), executor(api), executor(api)
        order = client.order()["id"]
        taker.take(order)
        for telegram_id in (other.telegram_id, 1):
            answer = client.post(f"/api/orders/{order}/{action}", {"executor_id": telegram_id})
            assert code(answer) == (422, "executor_not_of_order")

    def test_others_may_do_none_of_it(self, api: Api) -> None:
        client, taker = person(api), executor(api)
        order = client.order()["id"]
        taker.take(order)
        who = {"executor_id": taker.telegram_id}
        for method, path, body in (
            ("PUT", "", {"category": "x"}),
            ("DELETE", "", None),
            ("POST", "/respond", who),
            ("POST", "/complete", who),
            ("POST", "/close", None),
        ):
            answer = taker.call(method, f"/api/orders/{order}{path}", body)
            assert code(answer) == (403, "not_own_order")

    def test_sees_who_took_it(self, api: Api) -> None:
        client, taker = person(api), executor(api, "Борис")
        order = client.order()["id"]
        taker.take(order)
        (seen,) = client.see(order)["executors"]
        assert (seen["executor_id"], seen["first_name"]) == (taker.telegram_id, "Борис")
        (own,) = client.get("/api/users/me/orders").get_json()
        assert own["executors"] == client.see(order)["executors"]
        (take,) = taker.get("/api/users/me/takes").get_json()
        assert take["order"]["contact"] == CONTACT


def test_a_ban_ends_what_the_client_asked_for(api: Api) -> None:
    client, taker, unheard = person(api), executor(api), executor(api)
    taken, answered, free = (client.order()["id"] for _ in range(3))
    unheard.take(answered)
    before = unheard.balance
    for order in (taken, answered):
        taker.take(order)
    client.post(f"/api/orders/{answered}/respond", {"executor_id": taker.telegram_id})
    client_id = client.user_id
    for _ in range(2):
        with at_work(api.app):
            ban(client_id, CLI, Role.SUPERUSER, "spam")
    assert listed(api) == []
    assert taker.balance == 8
    assert unheard.balance == before + 2
    assert code(executor(api).take(free)) == (409, "order_not_active")


class TestList:
    def test_filters_and_searches(self, api: Api) -> None:
        client = person(api)
        pipe = client.order()["id"]
        lock = client.order(
            category="Замки", description="Захлопнулась дверь, ключи внутри", city="Москва"
        )["id"]
        assert [o["id"] for o in listed(api)] == [lock, pipe]
        for query, found in (
            ("?city=москва", [lock]),
            ("?category=САНТЕХНИКА", [pipe]),
            ("?category=Замки&city=Казань", []),
            ("?q=двери", [lock]),
            ("?q=сантехника", [pipe]),
            ("?q=ключи в", [lock]),
            ("?q=захлопнулась дверь", [lock]),
            ("?q=900", []),
            ("?q=555-35-35", []),
            ("?status=completed", []),
        ):
            assert [o["id"] for o in listed(api, query)] == found, query

    @pytest.mark.parametrize("text", ['"', "' OR 1=1", "*", "a AND (", "-", "слово:*", "%00x"[3:]])
    def test_any_search_is_answered(self, api: Api, text: str) -> None:
        person(api).order()
        answer = api.client().get("/api/orders", query_string={"q": text})
        assert (answer.status_code, answer.get_json()) == (200, [])

    def test_search_takes_one_letter_for_another(self, api: Api) -> None:
        order = person(api).order(description="Нужна живая ёлка, помогите довезти")["id"]
        for word in ("елка", "ёлка", "ЁЛКА"):
            assert [o["id"] for o in listed(api, f"?q={word}")] == [order]

    def test_deleted_ones_can_not_be_listed(self, api: Api) -> None:
        assert api.client().get("/api/orders?status=deleted").status_code == 400

    def test_asks_as_many_queries_for_many_as_for_one(self, api: Api) -> None:
        person(api).order()
        with counted_queries(api.app) as one:
            listed(api)
        for _ in range(5):
            person(api).order()
        with counted_queries(api.app) as many:
            listed(api)
        assert len(one) == len(many) == 3

    def test_own_lists_too(self, api: Api) -> None:
        client, taker = person(api), executor(api)

        def ask() -> tuple[int, int]:
            with counted_queries(api.app) as seen:
                assert client.get("/api/users/me/orders").status_code == 200
            with counted_queries(api.app) as more:
                assert taker.get("/api/users/me/takes").status_code == 200
            return len(seen), len(more)

        taker.take(client.order()["id"])
        before = ask()
        for _ in range(4):
            taker.take(client.order()["id"])
        assert ask() == before

    def test_whoever_polls_gets_what_changed_and_304(self, api: Api, start: datetime) -> None:
        with at(start):
            client = person(api)
            old, kept = client.order()["id"], client.order()["id"]
            first = api.client().get("/api/orders")
            same = api.client().get("/api/orders", headers={"If-None-Match": first.headers["ETag"]})
            assert (same.status_code, same.data) == (304, b"")
            assert first.headers["Cache-Control"] == "no-cache"
        with at(start, minutes=5):
            client.call("DELETE", f"/api/orders/{old}")
            executor(api).take(kept)
            new = client.order()["id"]
            since = clock.isoformat(start + timedelta(minutes=4))
            found = {o["id"]: o for o in listed(api, f"?since={since}")}
            gone = found.pop(old)
            assert gone.keys() == {"id", "status", "changed_at"}
            assert gone["status"] == "deleted"
            assert len(listed(api, f"?since={since}&q=ничего&category=другое")) == len(found) + 1
            assert {key: o["executors_count"] for key, o in found.items()} == {kept: 1, new: 0}
            again = api.client().get(
                "/api/orders", headers={"If-None-Match": first.headers["ETag"]}
            )
            assert again.status_code == 200
            long_ago = clock.isoformat(start - timedelta(hours=2))
            assert api.client().get(f"/api/orders?since={long_ago}").status_code == 400

    def test_pages(self, api: Api) -> None:
        client = person(api)
        ids = [client.order()["id"] for _ in range(3)]
        answer = api.client().get("/api/orders?page=2&page_size=2")
        assert [o["id"] for o in answer.get_json()] == ids[:1]
        assert '"total": 3' in answer.headers["X-Pagination"]
