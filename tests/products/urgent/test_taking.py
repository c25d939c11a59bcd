"""Paying for a contact: once each, three at most, whatever happens at once."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta

import pytest
import time_machine

from manga_backend.kernel.money.ledger.models import Transfer
from manga_backend.kernel.money.ledger.queries import prove
from manga_backend.kernel.money.ledger.types import TransferKind
from manga_backend.kit import clock
from manga_backend.products.urgent.models import Order, Take
from manga_backend.products.urgent.types import OrderStatus
from tests.kernel.factories import at_work, rows
from tests.products.urgent.factories import CONTACT, Person, close_due, executor, person
from tests.support import Api, at_once


def sales(api: Api) -> list[Transfer]:
    return [t for t in rows(api.app, Transfer) if t.kind is TransferKind.SALE]


def holds(api: Api) -> bool:
    with at_work(api.app):
        return prove().holds


class TestTake:
    def test_pays_two_rubles_and_shows_the_contact(self, api: Api) -> None:
        order = person(api, "Анна", username="anna_k").order()
        taker = executor(api)
        answer = taker.take(order["id"])
        assert answer.status_code == 200, answer.text
        body = answer.get_json()
        assert (body["contact"], body["balance"]) == (CONTACT, 8)
        assert body["order"]["contact"] == CONTACT
        assert body["order"]["client_username"] == "anna_k"
        assert body["order"]["executors_count"] == 1
        newest = taker.get("/api/balance/transactions").get_json()[0]
        assert (newest["type"], newest["amount"], newest["balance_after"]) == ("order_take", -2, 8)

    def test_again_it_is_the_same_answer_for_nothing(self, api: Api) -> None:
        order = person(api).order()
        taker = executor(api)
        first, second = taker.take(order["id"]), taker.take(order["id"])
        assert first.status_code == second.status_code == 200
        one, other = first.get_json(), second.get_json()
        for body in (one, other):
            body["order"].pop("minutes_left")
        assert one == other
        assert len(sales(api)) == len(rows(api.app, Take)) == 1

    def test_the_same_executor_at_once_pays_once(self, api: Api) -> None:
        order = person(api).order()
        taker = executor(api)
        answers = at_once(12, lambda _: taker.take(order["id"]))
        assert {answer.status_code for answer in answers} == {200}
        assert {answer.get_json()["balance"] for answer in answers} == {8}
        assert len(sales(api)) == 1

    def test_no_answer_with_a_contact_is_kept(self, api: Api) -> None:
        client, taker = person(api), executor(api)
        order = client.order()["id"]
        path = f"/api/orders/{order}/take"
        for _ in range(2):
            assert taker.post(path, **{"Idempotency-Key": "k"}).status_code == 200
        client.post(f"/api/orders/{order}/close")
        again = taker.post(path, **{"Idempotency-Key": "k"})
        assert again.get_json()["code"] == "order_not_active"
        assert taker.balance == 10

    def test_one_s_own_order_is_refused(self, api: Api) -> None:
        client = executor(api)
        answer = client.take(client.order()["id"])
        assert (answer.status_code, answer.get_json()["code"]) == (403, "own_order")

    def test_too_little_money_changes_nothing(self, api: Api) -> None:
        order = person(api).order()
        taker = executor(api, rubles=1)
        answer = taker.take(order["id"])
        problem = answer.get_json()
        assert (answer.status_code, problem["code"]) == (402, "insufficient_balance")
        assert problem["detail"] == "Insufficient balance. Need 2₽"
        assert problem["message"] == "Недостаточно средств. Нужно 2 ₽"
        assert taker.see(order["id"])["executors_count"] == 0
        assert rows(api.app, Take) == []

    def test_a_fourth_is_refused_in_the_document_s_words(self, api: Api) -> None:
        order = person(api).order()
        for _ in range(3):
            assert executor(api).take(order["id"]).status_code == 200
        fourth = executor(api)
        problem = fourth.take(order["id"]).get_json()
        assert (problem["status"], problem["code"]) == (409, "max_executors")
        assert problem["detail"] == "Maximum 3 executors reached"
        assert fourth.balance == 10

    @pytest.mark.parametrize("order_id", ["aaaaaaaaaaaa", "short", "x" * 13])
    def test_what_is_not_there_is_not_found(self, api: Api, order_id: str) -> None:
        assert executor(api).take(order_id).status_code == 404

    def test_after_its_hour_it_is_over_for_new_ones_alone(self, api: Api) -> None:
        client = person(api)
        order = client.order()
        first, late = executor(api), executor(api)
        assert first.take(order["id"]).status_code == 200
        client.post(f"/api/orders/{order['id']}/respond", {"executor_id": first.telegram_id})
        with time_machine.travel(clock.now() + timedelta(minutes=61)):
            close_due(api)
            answer = late.take(order["id"])
            assert (answer.status_code, answer.get_json()["code"]) == (409, "order_not_active")
            again = first.take(order["id"])
            assert (again.status_code, again.get_json()["contact"]) == (200, CONTACT)
        assert first.balance == 8


class TestAtOnce:
    def test_of_a_hundred_three_take_it_and_pay(self, pg_api: Api) -> None:
        order = person(pg_api).order()
        takers = [executor(pg_api) for _ in range(100)]
        answers = at_once(100, lambda n: takers[n].take(order["id"]))
        assert Counter(answer.status_code for answer in answers) == {200: 3, 409: 97}
        refused = {a.get_json()["code"] for a in answers if a.status_code == 409}
        assert refused == {"max_executors"}
        winners = [
            taker
            for taker, answer in zip(takers, answers, strict=True)
            if answer.status_code == 200
        ]
        assert [taker.balance for taker in winners] == [8, 8, 8]
        paid = sales(pg_api)
        assert [transfer.amount for transfer in paid] == [200, 200, 200]
        (kept,) = rows(pg_api.app, Order)
        assert kept.executors_count == len(rows(pg_api.app, Take)) == 3
        assert holds(pg_api)

    def test_three_rubles_and_two_orders_take_exactly_one(self, pg_api: Api) -> None:
        orders = [person(pg_api).order()["id"] for _ in range(2)]
        for _ in range(10):
            taker = executor(pg_api, rubles=3)
            first, second = (person(pg_api).order()["id"] for _ in range(2))
            answers = at_once(2, lambda n, t=taker, p=(first, second): t.take(p[n]))  # type: ignore[misc]
            assert sorted(answer.status_code for answer in answers) == [200, 402]
            assert taker.balance == 1
        assert len(orders) == 2
        assert holds(pg_api)

    def test_taking_and_closing_at_once_loses_no_ruble(self, pg_api: Api) -> None:
        client = person(pg_api)
        takers = [executor(pg_api) for _ in range(3)]
        for _ in range(5):
            order = client.order()["id"]

            def act(number: int, order: str = order) -> int:
                if number == 3:
                    return client.post(f"/api/orders/{order}/close").status_code
                return takers[number].take(order).status_code

            at_once(4, act)
            kept = next(row for row in by_time(pg_api) if row.id == order)
            assert kept.status is OrderStatus.DELETED
        assert [taker.balance for taker in takers] == [10, 10, 10]
        assert all(take.refunded_at for take in rows(pg_api.app, Take))
        assert holds(pg_api)


def by_time(api: Api) -> list[Order]:
    return sorted(rows(api.app, Order), key=lambda order: order.created_at)


def test_refunds_at_once_give_back_once(pg_api: Api) -> None:
    client = person(pg_api)
    order = client.order()["id"]
    takers: list[Person] = [executor(pg_api) for _ in range(3)]
    for taker in takers:
        assert taker.take(order).status_code == 200
    with time_machine.travel(clock.now() + timedelta(minutes=16)):
        at_once(6, lambda _: close_due(pg_api))
        close_due(pg_api)
        assert [taker.balance for taker in takers] == [10, 10, 10]
    assert holds(pg_api)
