"""initData as a credential by itself, and where the product is not on."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from manga_backend.kernel.backoffice.types import CLI
from manga_backend.kernel.identity.models import Session, User
from manga_backend.kernel.identity.service.accounts import ban
from manga_backend.kernel.identity.types import Role
from manga_backend.kernel.money.ledger.service import correct
from manga_backend.kernel.telegram.service.updates import commands, presses
from manga_backend.kit import clock
from manga_backend.kit.jobs import jobs, schedules
from tests.conftest import Deployment
from tests.kernel.factories import at_work, make_reader, rows
from tests.products.urgent.factories import ORDER, Person, init_data, person
from tests.standins.telegram import BotApiStandIn
from tests.support import Api, at_once, counted_queries
from tests.variants import variant, variant_api

ROUTES = [
    ("GET", "/api/users/me"),
    ("GET", "/api/balance"),
    ("GET", "/api/balance/transactions"),
    ("POST", "/api/orders"),
    ("GET", "/api/orders/aaaaaaaaaaaa"),
    ("POST", "/api/orders/aaaaaaaaaaaa/take"),
]


def call(api: Api, text: str, method: str = "GET", path: str = "/api/users/me") -> Any:
    headers = {"Authorization": f"Bearer {text}"}
    return api.client().open(path, method=method, json=ORDER, headers=headers)


class TestInitData:
    def test_opens_the_account_at_first_sight_without_a_session(self, api: Api) -> None:
        someone = person(api, "Айгуль", username="aigul")
        me = someone.get("/api/users/me").get_json()
        assert (me["id"], me["first_name"], me["username"]) == (
            someone.telegram_id,
            "Айгуль",
            "aigul",
        )
        assert (me["balance"], me["average_rating"]) == (0, None)
        assert rows(api.app, Session) == []
        assert len(rows(api.app, User)) == 1

    def test_at_once_there_is_one_account(self, pg_api: Api) -> None:
        someone = person(pg_api)
        answers = at_once(8, lambda _: someone.get("/api/users/me"))
        assert {answer.status_code for answer in answers} == {200}
        assert len(rows(pg_api.app, User)) == 1

    def test_the_name_follows_what_telegram_says_last(self, api: Api) -> None:
        someone = person(api, "Айгуль")
        old = init_data(api, someone.telegram_id, first_name="Старое")
        someone.get("/api/users/me")
        later = clock.now() + timedelta(seconds=30)
        new = init_data(api, someone.telegram_id, later, first_name="Айгуль К.")
        assert call(api, new).get_json()["first_name"] == "Айгуль К."
        assert call(api, old).get_json()["first_name"] == "Айгуль К."  # a client resends it

    def test_nobody_else_learns_the_name_that_signs_in(self, api: Api) -> None:
        reader = make_reader(api, telegram_id=700_900, telegram_verified_at=clock.now())
        answer = reader.post("/api/orders", ORDER)
        assert answer.status_code == 201, answer.text
        assert reader.username not in api.client().get("/api/orders").get_data(as_text=True)

    def test_one_statement_finds_the_caller(self, api: Api) -> None:
        someone = person(api)
        someone.get("/api/users/me")
        with counted_queries(api.app) as seen:
            someone.get("/api/balance")
        assert len(seen) == 2

    @pytest.mark.parametrize(("method", "path"), ROUTES)
    def test_a_changed_byte_is_refused_in_the_document_s_words(
        self, api: Api, method: str, path: str
    ) -> None:
        good = init_data(api, 700)
        answer = call(api, good.replace("AAE", "AAF"), method, path)
        problem = answer.get_json()
        assert (answer.status_code, problem["code"]) == (401, "init_data_invalid")
        assert problem["detail"] == "Invalid hash - data integrity check failed"

    def test_old_doubled_and_another_bot_s_are_refused(
        self, deployment: Deployment, bot: BotApiStandIn
    ) -> None:
        api = Api(deployment.app, bot)
        old = init_data(api, 700, clock.now() - timedelta(hours=25))
        assert call(api, old).get_json()["code"] == "init_data_expired"
        good = init_data(api, 700)
        assert call(api, good + "&query_id=AAE").get_json()["code"] == "init_data_invalid"
        with variant_api(deployment, bot, TELEGRAM_BOT_TOKEN="2000:other") as other:
            foreign = init_data(other, 700)
        assert call(api, foreign).get_json()["code"] == "init_data_invalid"
        assert rows(api.app, User) == []

    def test_a_banned_one_is_refused(self, api: Api) -> None:
        someone = person(api)
        someone.get("/api/users/me")
        with at_work(api.app):
            ban(someone.user_id, CLI, Role.SUPERUSER, "spam")
        answer = someone.get("/api/users/me")
        assert (answer.status_code, answer.get_json()["code"]) == (403, "banned")
        assert answer.get_json()["detail"] == "Этот аккаунт заблокирован."

    @pytest.mark.parametrize(
        "path", ["/api/user/status", "/api/payments", "/auth/sessions", "/api/notifications/"]
    )
    def test_is_no_credential_elsewhere(self, api: Api, path: str) -> None:
        answer = call(api, init_data(api, 700), path=path)
        assert (answer.status_code, answer.get_json()["code"]) == (401, "token_invalid")

    def test_is_counted_by_user_not_by_address(
        self, deployment: Deployment, bot: BotApiStandIn
    ) -> None:
        limits = {"RATELIMIT_ENABLED": "1", "RATELIMIT_DEFAULT": "2 per hour"}
        with variant_api(deployment, bot, **limits) as api:
            one, other = person(api), person(api)
            statuses = [one.get("/api/balance").status_code for _ in range(3)]
            assert statuses == [200, 200, 429]
            assert other.get("/api/balance").status_code == 200


class TestTokens:
    def test_a_session_of_the_product_sees_whole_rubles(self, api: Api) -> None:
        someone = person(api)
        body = {"init_data": init_data(api, someone.telegram_id), "product": "urgent"}
        tokens = api.post("/auth/telegram/webapp", body).get_json()
        auth = {"Authorization": f"Bearer {tokens['access_token']}"}
        found = api.client().get("/api/balance", headers=auth).get_json()
        assert found == {"balance": 0, "currency": "RUB", "reserved": 0}
        assert api.client().get("/api/users/me", headers=auth).status_code == 200
        wrong = api.post("/auth/telegram/webapp", {**body, "product": "nothing"})
        assert (wrong.status_code, list(wrong.get_json()["errors"])) == (400, ["product"])

    def test_a_session_of_another_one_sees_decimals(self, api: Api) -> None:
        reader = make_reader(api)
        usdt = {"balance": "0.00", "currency": "USDT", "reserved": "0.00"}
        assert reader.get("/api/balance").get_json() == usdt
        someone = person(api).rich(3)
        with at_work(api.app):
            correct(someone.user_id, 1_500_000, "USDT", key="k", note="test", actor=CLI)
        named = someone.get("/api/balance?currency=USDT").get_json()
        assert (named["balance"], named["currency"]) == ("1.50", "USDT")
        assert len(someone.get("/api/balance/transactions").get_json()) == 1
        assert someone.get("/api/balance/transactions?currency=USDT").get_json()[0]["amount"] == (
            "1.50"
        )

    def test_without_a_proved_telegram_id_it_is_required(self, api: Api) -> None:
        reader = make_reader(api)
        for method, path in (("GET", "/api/users/me"), ("POST", "/api/orders")):
            answer = api.client().open(path, method=method, json=ORDER, headers=reader.auth)
            assert (answer.status_code, answer.get_json()["code"]) == (403, "telegram_required")
        assert reader.get("/api/orders").status_code == 200
        assert reader.get("/api/orders/aaaaaaaaaaaa").status_code == 404


class TestOff:
    def test_nothing_of_it_exists(self, deployment: Deployment) -> None:
        with variant(deployment.settings, PRODUCTS="manga") as app, app.app_context():
            rules = {rule.rule for rule in app.url_map.iter_rules()}
            assert not [rule for rule in rules if "urgent" in rule]
            assert not rules & {"/api/orders", "/api/users/me", "/api/reviews"}
            assert "/api/balance/recharge" not in rules
            names = [
                name
                for registry in (jobs, schedules, commands, presses)
                for name, _ in registry.items()
            ]
            assert not [name for name in names if name.startswith("urgent")]
            assert not {"orders", "myorders", "ua", "ud", "uc"} & set(names)
            assert "urgent" not in str(app.api.spec.to_dict()).lower()

    def test_init_data_opens_nothing(self, deployment: Deployment, bot: BotApiStandIn) -> None:
        with variant_api(deployment, bot, PRODUCTS="manga") as api:
            answer = call(api, init_data(api, 700), path="/api/balance")
            assert (answer.status_code, answer.get_json()["code"]) == (401, "token_invalid")
            assert rows(api.app, User) == []

    def test_alone_a_sign_in_counts_for_it(
        self, deployment: Deployment, bot: BotApiStandIn
    ) -> None:
        with variant_api(deployment, bot, PRODUCTS="urgent") as api:
            reader = Person(api, 700)
            tokens = api.post(
                "/auth/telegram/webapp", {"init_data": init_data(api, 700)}
            ).get_json()
            auth = {"Authorization": f"Bearer {tokens['access_token']}"}
            assert api.client().get("/api/balance", headers=auth).get_json()["currency"] == "RUB"
            assert reader.get("/api/users/me").status_code == 200
            assert api.client().get("/api/user/status", headers=auth).status_code == 404
