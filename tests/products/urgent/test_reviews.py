"""Clients rate, executors complain, moderators decide."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select

from manga_backend.kernel.identity.types import Role
from manga_backend.products.urgent.models import Complaint, Profile, Review
from manga_backend.products.urgent.types import ComplaintStatus
from tests.kernel.backoffice.test_panel import Panel
from tests.kernel.factories import at_work, rows
from tests.products.urgent.factories import Person, executor, person, unique
from tests.support import ADMIN_IDS, LOG_CHANNEL, Api, at_once, counted_queries


def taken(api: Api, *takers: Person) -> tuple[Person, str]:
    client = person(api, "Анна")
    order = client.order()["id"]
    for taker in takers:
        assert taker.take(order).status_code == 200
    return client, order


def rate(client: Person, order: str, rating: Any = 5, **more: Any) -> Any:
    return client.post("/api/reviews/client", {"order_id": order, "rating": rating, **more})


def code(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.get_json()["code"]


class TestClient:
    def test_counts_in_the_rating_at_once(self, api: Api) -> None:
        taker = executor(api, "Борис")
        for rating in (5, 4, 4):
            client, order = taken(api, taker)
            answer = rate(client, order, rating, comment="  Быстро и чисто \n")
            assert answer.status_code == 201, answer.text
            assert answer.get_json()["comment"] == "Быстро и чисто"
        assert taker.get("/api/users/me").get_json()["average_rating"] == 4.33
        api.deliver()
        told = api.bot.wait_for_message(taker.telegram_id, contains="5 из 5", timeout=30)
        assert "Быстро и чисто" in told.text

    def test_one_for_each_order_even_at_once(self, pg_api: Api) -> None:
        taker = executor(pg_api)
        client, order = taken(pg_api, taker)
        answers = at_once(8, lambda _: rate(client, order))
        assert sorted(answer.status_code for answer in answers) == [201] + [409] * 7
        assert {a.get_json()["code"] for a in answers if a.status_code == 409} == {
            "already_reviewed"
        }
        (profile,) = rows_of_profiles(pg_api)
        assert (profile.rating_sum, profile.ratings_count) == (5, 1)

    def test_ratings_at_once_are_all_counted(self, pg_api: Api) -> None:
        taker = executor(pg_api, rubles=100)
        orders = [taken(pg_api, taker) for _ in range(8)]
        answers = at_once(8, lambda n: rate(*orders[n], rating=n % 5 + 1))
        assert {answer.status_code for answer in answers} == {201}
        (profile,) = rows_of_profiles(pg_api)
        assert (profile.rating_sum, profile.ratings_count) == (21, 8)

    def test_the_money_back_takes_the_rating_back(self, api: Api) -> None:
        taker = executor(api)
        client, order = taken(api, taker)
        assert rate(client, order, 1).status_code == 201
        client.post(f"/api/orders/{order}/close")
        assert taker.balance == 10
        assert api.client().get("/api/reviews").get_json() == []
        assert taker.get("/api/users/me").get_json()["average_rating"] is None

    def test_whoever_did_it_is_meant(self, api: Api) -> None:
        one, other = executor(api), executor(api)
        client, order = taken(api, one, other)
        client.post(f"/api/orders/{order}/complete", {"executor_id": other.telegram_id})
        assert rate(client, order).get_json()["executor_id"] == other.telegram_id

    def test_says_who_is_meant_when_several_took_it(self, api: Api) -> None:
        one, other = executor(api), executor(api)
        client, order = taken(api, one, other)
        assert code(rate(client, order)) == (422, "executor_needed")
        assert rate(client, order, executor_id=other.telegram_id).status_code == 201
        assert one.get("/api/users/me").get_json()["average_rating"] is None
        assert other.get("/api/users/me").get_json()["average_rating"] == 5.0

    def test_only_of_one_s_own_order_and_who_took_it(self, api: Api) -> None:
        taker, stranger = executor(api), executor(api)
        client, order = taken(api, taker)
        assert code(rate(stranger, order)) == (403, "not_own_order")
        mine = rate(client, order, executor_id=stranger.telegram_id)
        assert code(mine) == (422, "executor_not_of_order")
        assert code(rate(client, "aaaaaaaaaaaa")) == (404, "order_not_found")
        untaken = client.order()["id"]
        assert code(rate(client, untaken)) == (422, "executor_not_of_order")

    def test_with_a_key_the_first_answer_comes_again(self, api: Api) -> None:
        client, order = taken(api, executor(api))
        body = {"order_id": order, "rating": 5}
        answers = [
            client.post("/api/reviews/client", body, **{"Idempotency-Key": "k"}) for _ in range(2)
        ]
        assert [answer.status_code for answer in answers] == [201, 201]
        assert answers[0].get_json() == answers[1].get_json()

    def test_refuses_what_is_no_rating(self, api: Api) -> None:
        client, order = taken(api, executor(api))
        for rating in (0, 6, "five", 4.5, None):
            assert code(rate(client, order, rating)) == (400, "invalid_input")


def rows_of_profiles(api: Api) -> list[Profile]:
    with at_work(api.app) as current:
        return list(current.scalars(select(Profile)))


class TestList:
    def test_filters_and_hides_who_the_client_is(self, api: Api) -> None:
        one, other = executor(api, "Борис"), executor(api, "Вера")
        for taker, rating in ((one, 5), (other, 2)):
            client, order = taken(api, taker)
            rate(client, order, rating)

        def ask(query: str) -> list[int]:
            return [r["rating"] for r in api.client().get(f"/api/reviews{query}").get_json()]

        assert ask("") == [2, 5]
        assert ask("?rating=5") == [5]
        assert ask(f"?executor_id={other.telegram_id}") == [2]
        assert ask("?executor_id=1") == []
        (first, _) = api.client().get("/api/reviews").get_json()
        assert (first["client_first_name"], first["executor_first_name"]) == ("Анна", "Вера")
        assert "client_id" not in first

    def test_asks_as_many_queries_for_many_as_for_one(self, api: Api) -> None:
        taker = executor(api, rubles=100)
        rate(*taken(api, taker))
        with counted_queries(api.app) as one:
            api.client().get("/api/reviews")
        for _ in range(4):
            rate(*taken(api, taker))
        with counted_queries(api.app) as many:
            api.client().get("/api/reviews")
        assert len(one) == len(many) == 3


class TestModeration:
    def test_an_admin_closes_an_order_that_should_not_stand_there(self, api: Api) -> None:
        client, answered, waiting = person(api), executor(api, "Борис"), executor(api, "Вера")
        order = client.order()["id"]
        for taker in (answered, waiting):
            taker.take(order)
        client.post(f"/api/orders/{order}/respond", {"executor_id": answered.telegram_id})
        panel = Panel(api, api.staff(Role.ADMIN).username)
        page = panel.get(f"/admin/urgent-orders/details/?id={order}").text
        assert "Close this order" in page
        assert "Борис" in page
        panel.post(f"/admin/urgent-orders/close/{order}")
        assert client.see(order)["status"] == "active"
        for _ in range(2):
            panel.post(f"/admin/urgent-orders/close/{order}", reason="a scam")
        assert client.see(order)["status"] == "deleted"
        assert (answered.balance, waiting.balance) == (8, 10)
        support = Panel(api, api.staff(Role.SUPPORT).username)
        refused = support.post(f"/admin/urgent-orders/close/{client.order()['id']}", reason="x")
        assert refused.status_code == 403

    def test_what_is_filtered_by_is_compared_as_clients_do(self, api: Api) -> None:
        person(api).order()
        panel = Panel(api, api.staff().username)
        page = "/admin/urgent-orders/?flt1_categorykey_equals="
        assert "Кран сорвало" in panel.get(f"{page}САНТЕХНИКА").text
        assert "Кран сорвало" not in panel.get(f"{page}Замки").text

    def test_a_hidden_review_is_not_seen_and_does_not_count(self, api: Api) -> None:
        taker = executor(api)
        for rating in (5, 1):
            client, order = taken(api, taker)
            rate(client, order, rating)
        bad = rows(api.app, Review)[-1]
        panel = Panel(api, api.staff(Role.ADMIN).username)
        assert "Hide this review" in panel.get(f"/admin/urgent-reviews/details/?id={bad.id}").text
        hide = f"/admin/urgent-reviews/hide/{bad.id}"
        panel.post(hide)  # without a reason nothing happens
        assert len(api.client().get("/api/reviews").get_json()) == 2
        for _ in range(2):
            panel.post(hide, reason="insults")
        assert [r["rating"] for r in api.client().get("/api/reviews").get_json()] == [5]
        assert taker.get("/api/users/me").get_json()["average_rating"] == 5.0
        panel.post(f"/admin/urgent-reviews/show/{bad.id}")
        assert taker.get("/api/users/me").get_json()["average_rating"] == 3.0


class TestComplaint:
    def test_reaches_the_admins_and_gives_the_money_back(self, api: Api) -> None:
        taker = executor(api, "Борис")
        _, order = taken(api, taker)
        why = unique("Never existed")
        body = {"order_id": order, "reason": "wrong number", "comment": why}
        answer = taker.post("/api/reviews/executor", body)
        assert (answer.status_code, answer.get_json()["status"]) == (201, "pending")
        again = taker.post("/api/reviews/executor", body)
        assert code(again) == (409, "already_complained")
        assert api.press(ADMIN_IDS[0], why, "Approve") == "Approved."
        assert taker.balance == 10
        (kept,) = rows(api.app, Complaint)
        assert kept.status is ComplaintStatus.UPHELD
        (mine,) = taker.get("/api/users/me/complaints").get_json()
        assert mine["status"] == "upheld"
        assert "already" in api.press_again(ADMIN_IDS[1], why, "approve").lower()
        assert taker.balance == 10

    def test_the_log_channel_is_told_no_contact(self, api: Api) -> None:
        taker = executor(api)
        client = person(api)
        order = client.order(contact="@secret_contact")["id"]
        taker.take(order)
        why = unique("nobody there")
        taker.post("/api/reviews/executor", {"order_id": order, "reason": why})
        api.press(ADMIN_IDS[0], why, "Reject")
        api.deliver()
        line = api.bot.wait_for_message(LOG_CHANNEL, contains=why, timeout=30)
        assert "@secret_contact" not in line.text
        assert str(client.telegram_id) not in line.text
        asked = api.bot.wait_for_message(ADMIN_IDS[0], contains=why, timeout=30)
        assert "@secret_contact" in asked.text

    def test_dismissed_the_executor_hears_why(self, api: Api) -> None:
        taker = executor(api)
        _, order = taken(api, taker)
        why = unique("did not like it")
        taker.post("/api/reviews/executor", {"order_id": order, "reason": why})
        api.press(ADMIN_IDS[0], why, "Reject")
        api.deliver()
        told = api.bot.wait_for_message(taker.telegram_id, contains="отклонена", timeout=30)
        assert told.from_bot
        assert taker.balance == 8

    def test_once_at_once(self, pg_api: Api) -> None:
        taker = executor(pg_api)
        _, order = taken(pg_api, taker)
        body = {"order_id": order, "reason": "wrong number"}
        answers = at_once(8, lambda _: taker.post("/api/reviews/executor", body))
        assert sorted(answer.status_code for answer in answers) == [201] + [409] * 7

    def test_only_by_who_took_it(self, api: Api) -> None:
        client, order = taken(api, executor(api))
        for someone in (client, executor(api)):
            answer = someone.post("/api/reviews/executor", {"order_id": order, "reason": "why"})
            assert code(answer) == (422, "order_not_taken")

    def test_after_the_money_came_back_it_is_still_heard(self, api: Api) -> None:
        taker = executor(api)
        client, order = taken(api, taker)
        client.post(f"/api/orders/{order}/close")
        assert taker.balance == 10
        why = unique("wasted my time")
        taker.post("/api/reviews/executor", {"order_id": order, "reason": why})
        api.press(ADMIN_IDS[0], why, "Approve")
        assert taker.balance == 10
        api.deliver()
        assert api.bot.wait_for_message(taker.telegram_id, contains="удовлетворена", timeout=30)
