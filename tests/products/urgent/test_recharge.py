"""Rubles for the wallet: what they cost, by which way, and that they come once."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manga_backend.app import read_settings
from manga_backend.kernel.money.gateways.jobs import handle_webhooks
from manga_backend.kernel.money.ledger.queries import prove
from manga_backend.kernel.money.payments.models import Payment
from manga_backend.kit.problems import InvalidInput
from manga_backend.kit.settings import SettingsError
from manga_backend.products.urgent.service.recharge import price_of
from manga_backend.products.urgent.types import RechargeMethod
from tests.conftest import Deployment
from tests.kernel.factories import at_work, rows
from tests.products.urgent.factories import Person, init_data, person
from tests.standins.cryptomus import CryptomusStandIn
from tests.standins.telegram import BotApiStandIn
from tests.support import Api, Reader
from tests.variants import variant_api


def ask(someone: Person, amount: Any = 100, method: str = "telegram_stars", **more: Any) -> Any:
    return someone.post("/api/balance/recharge", {"amount": amount, "method": method, **more})


class TestPrice:
    def test_is_rounded_up(self, api: Api) -> None:
        with api.app.app_context():
            assert str(price_of(100, RechargeMethod.STARS)) == "84"
            assert str(price_of(100, RechargeMethod.CRYPTO)) == "1.25"
            assert str(price_of(101, RechargeMethod.GATEWAY)) == "1.27"
            with pytest.raises(InvalidInput):
                price_of(79, RechargeMethod.CRYPTO)

    def test_never_gives_more_than_was_paid_for(self, pg_api: Api) -> None:
        with pg_api.app.app_context():

            @given(st.integers(1, 100_000))
            def prove_it(rubles: int) -> None:
                stars = price_of(rubles, RechargeMethod.STARS).amount
                assert stars * Fraction("1.2") >= rubles > (stars - 1) * Fraction("1.2")

            prove_it()

    @pytest.mark.parametrize("wrong", ["0", "-1", "x", "1/0", "1e9"])
    def test_a_rate_that_is_none_stops_the_start(self, wrong: str) -> None:
        with pytest.raises(SettingsError, match="RUB_PER_STAR"):
            read_settings({"APP_ENV": "testing", "RUB_PER_STAR": wrong, "SECRET_KEY": "s" * 40})


class TestWays:
    def test_are_listed_with_their_rates(self, api: Api) -> None:
        (stars,) = person(api).get("/api/balance/recharge").get_json()
        assert stars == {
            "method": "telegram_stars",
            "networks": [],
            "currency": "XTR",
            "rubles_per_unit": "1.2",
            "least": 1,
            "most": 100_000,
        }

    def test_are_listed_with_what_is_set_up(self, shop: tuple[Api, CryptomusStandIn]) -> None:
        found = person(shop[0]).get("/api/balance/recharge").get_json()
        assert [(way["method"], way["least"]) for way in found] == [
            ("telegram_stars", 1),
            ("cryptomus", 80),
        ]

    def test_by_a_transfer_of_a_unique_amount(
        self, deployment: Deployment, bot: BotApiStandIn
    ) -> None:
        chain = {"TRON_RPC_URL": "http://127.0.0.1:1"}
        with variant_api(deployment, bot, **chain) as api:
            someone = person(api)
            body = ask(someone, 800, "crypto", network="tron").get_json()
            assert (body["status"], body["network"], body["price_currency"]) == (
                "open",
                "tron",
                "USDT",
            )
            assert body["price"].startswith("10.00")
            assert body["price"] != "10.00"
            assert body["qr"].startswith("data:image/svg+xml")
            assert ask(someone, 800, "crypto").get_json()["price"] == body["price"]
            assert ask(someone, 801, "crypto").get_json()["price"] != body["price"]

    def test_a_network_that_nobody_watches_is_refused(self, api: Api) -> None:
        answer = ask(person(api), 800, "crypto", network="ton")
        assert answer.get_json()["code"] == "network_not_watched"

    def test_by_the_provider_s_page(self, shop: tuple[Api, CryptomusStandIn]) -> None:
        api, provider = shop
        someone = person(api)
        body = ask(someone, 100, "cryptomus").get_json()
        assert (body["price"], body["price_currency"]) == ("1.25", "USDT")
        assert body["url"].startswith("http")
        assert ask(someone, 100, "cryptomus").get_json()["url"] == body["url"]
        (payment,) = rows(api.app, Payment)
        for _ in range(2):
            provider.pay(payment.id.hex)
            with api.app.app_context():
                handle_webhooks()
        assert someone.balance == 100
        with at_work(api.app):
            assert prove().holds

    def test_what_is_not_set_up_is_said(self, api: Api) -> None:
        assert ask(person(api), 100, "cryptomus").get_json()["code"] == "gateway_off"

    def test_unpaid_invoices_hold_up_no_payment_by_hash(self, api: Api) -> None:
        someone = person(api)
        for amount in range(10, 15):
            assert ask(someone, amount).status_code == 201
        assert ask(someone, 15).get_json()["code"] == "too_many_pending"
        body = {"init_data": init_data(api, someone.telegram_id)}
        tokens = api.post("/auth/telegram/webapp", body).get_json()
        reader = Reader(api, "", someone.telegram_id, tokens)
        assert reader.status()["pending_payments"] == 0
        assert reader.status()["last_payment"] is None
        assert reader.submit().status_code == 202
        assert reader.status()["pending_payments"] == 1

    def test_with_a_key_the_first_answer_comes_again(self, api: Api) -> None:
        someone = person(api)
        body = {"amount": 100, "method": "telegram_stars"}
        first, second = (
            someone.post("/api/balance/recharge", body, **{"Idempotency-Key": "k"})
            for _ in range(2)
        )
        assert second.headers["Idempotency-Replayed"] == "true"
        assert first.get_json() == second.get_json()

    def test_telegram_s_silence_is_said_and_costs_nothing(self, api: Api) -> None:
        someone = person(api)
        api.bot.fail_next("createInvoiceLink", status=500)
        answer = ask(someone)
        assert (answer.status_code, answer.get_json()["code"]) == (503, "gateway_unavailable")
        assert ask(someone).status_code == 201
        assert len(rows(api.app, Payment)) == 1

    @pytest.mark.parametrize(
        "body",
        [
            {"amount": 0, "method": "telegram_stars"},
            {"amount": 100_001, "method": "telegram_stars"},
            {"amount": "100", "method": "telegram_stars"},
            {"amount": 1.5, "method": "telegram_stars"},
            {"amount": 100, "method": "cash"},
            {"amount": 100, "method": "dev"},
            {"amount": 10, "method": "crypto"},
            {"method": "telegram_stars"},
        ],
    )
    def test_refuses_what_is_wrong(self, api: Api, body: dict[str, Any]) -> None:
        answer = person(api).post("/api/balance/recharge", body)
        assert (answer.status_code, answer.get_json()["code"]) == (400, "invalid_input")


class TestDevelopment:
    @pytest.mark.parametrize("method", ["dev", "telegram_stars", "cryptomus", "crypto"])
    def test_every_method_credits_at_once(
        self, deployment: Deployment, bot: BotApiStandIn, method: str
    ) -> None:
        with variant_api(deployment, bot, APP_ENV="development") as api:
            someone = person(api)
            body = ask(someone, 100, method).get_json()
            assert (body["status"], body["balance"]) == ("credited", 100)
            (moved,) = someone.get("/api/balance/transactions").get_json()
            assert (moved["type"], moved["amount"]) == ("recharge", 100)
            with at_work(api.app):
                assert prove().holds
