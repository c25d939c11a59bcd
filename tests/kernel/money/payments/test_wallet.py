"""The wallet: filled by top-up and coupons, spent on plans, never below zero."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
import time_machine

from manga_backend.kernel.approvals.types import Decision, State
from manga_backend.kernel.backoffice.types import CLI
from manga_backend.kernel.money.coupons import service as coupons
from manga_backend.kernel.money.coupons.models import Coupon
from manga_backend.kernel.money.coupons.types import AnyGift, CreditGift, PercentGift
from manga_backend.kernel.money.ledger.queries import find_wallet, prove
from manga_backend.kernel.money.payments import jobs
from manga_backend.kernel.money.payments.models import Payment
from manga_backend.kernel.money.payments.types import PaymentStatus
from manga_backend.kit import clock
from manga_backend.kit.problems import DomainError
from tests.conftest import Deployment
from tests.kernel.factories import (
    admin,
    approval_of,
    at_work,
    count,
    decide,
    earned,
    make_reader,
    make_readers,
    payment_of,
    rows,
    submit,
)
from tests.kernel.money.ledger.test_service import fill
from tests.kernel.money.payments.conftest import OURS
from tests.kernel.money.payments.test_intents import minor, promise, watch
from tests.standins.chains import TronGridStandIn
from tests.standins.telegram import BotApiStandIn
from tests.support import ADMIN_IDS, Api, at_once, new_hash
from tests.variants import variant_api

PRICE = 5_000_000


def make(api: Api, gift: AnyGift, **more: Any) -> str:
    with at_work(api.app):
        return coupons.codes_of(coupons.issue(CLI, gift, **more))[0]


def balance(api: Api, user_id: int) -> int:
    with at_work(api.app):
        return find_wallet(user_id, "USDT").balance


class TestPay:
    def test_buys_at_once(self, api: Api) -> None:
        reader = make_reader(api)
        user = api.user_id(reader)
        fill(api.app, user, PRICE + 1)
        answer = reader.post("/payment/wallet", {})
        assert answer.status_code == 200, answer.text
        assert (answer.get_json()["status"], answer.get_json()["days_added"]) == ("approved", 30)
        assert balance(api, user) == 1
        assert reader.status()["purchases_count"] == 1
        with at_work(api.app):
            assert prove().holds

    def test_with_too_little_nothing_happens(self, api: Api) -> None:
        reader = make_reader(api)
        fill(api.app, api.user_id(reader), PRICE - 1)
        answer = reader.post("/payment/wallet", {})
        assert (answer.status_code, answer.get_json()["code"]) == (402, "not_enough_money")
        assert count(api.app, Payment) == 0
        assert balance(api, api.user_id(reader)) == PRICE - 1

    def test_with_one_key_it_buys_once(self, api: Api) -> None:
        reader = make_reader(api)
        fill(api.app, api.user_id(reader), 2 * PRICE)
        first = reader.post("/payment/wallet", {}, **{"Idempotency-Key": "k-1"})
        again = reader.post("/payment/wallet", {}, **{"Idempotency-Key": "k-1"})
        assert first.get_json() == again.get_json()
        assert balance(api, api.user_id(reader)) == PRICE

    def test_20_at_once_spend_what_there_is(self, pg_api: Api) -> None:
        reader = make_reader(pg_api)
        fill(pg_api.app, pg_api.user_id(reader), 3 * PRICE)
        answers = at_once(20, lambda _: reader.post("/payment/wallet", {}).status_code)
        assert sorted(answers) == [200] * 3 + [402] * 17
        assert balance(pg_api, pg_api.user_id(reader)) == 0
        assert reader.status()["subscription"]["days_remaining"] == 90


class TestTopUp:
    def test_fills_the_wallet_when_its_transfer_comes(
        self, trusting: Api, grid: TronGridStandIn
    ) -> None:
        reader = make_reader(trusting)
        answer = reader.post("/payment/top-up", {"amount": "25.50"})
        assert answer.status_code == 201, answer.text
        grid.transfer(OURS, minor(answer.get_json()))
        watch(trusting)
        assert reader.get("/api/balance").get_json()["balance"] == "25.50"
        assert not reader.status()["subscription"]["active"]
        with at_work(trusting.app):
            assert prove().holds

    def test_is_revenue_when_it_is_spent(self, trusting: Api, grid: TronGridStandIn) -> None:
        reader = make_reader(trusting)
        grid.transfer(OURS, minor(reader.post("/payment/top-up", {"amount": "25"}).get_json()))
        watch(trusting)
        assert earned(trusting.app) == 0
        assert reader.post("/payment/wallet", {}).status_code == 200
        assert earned(trusting.app) == PRICE

    @pytest.mark.parametrize(
        "amount",
        [
            *("0", "0.99", "-5", "+5", "NaN", "Infinity", "1e400", "1e3", "5,0", "۵", "１０"),
            *("", " 5", "5 ", "0x10", "100000.01", "9" * 30, "5.0000001", "5." + "0" * 40),
        ],
    )
    def test_what_is_no_amount_is_refused(self, seeing: Api, amount: str) -> None:
        answer = make_reader(seeing).post("/payment/top-up", {"amount": amount})
        assert answer.status_code == 400, answer.text
        assert "amount" in answer.get_json()["errors"]

    @pytest.mark.parametrize("amount", [5, 5.5, None, True, ["5"], {"value": "5"}])
    def test_only_a_text_is_exact(self, seeing: Api, amount: object) -> None:
        assert make_reader(seeing).post("/payment/top-up", {"amount": amount}).status_code == 400


class TestCreditCoupon:
    def test_gives_money(self, api: Api) -> None:
        reader = make_reader(api)
        code = make(api, CreditGift(1_500_000, "USDT"))
        answer = reader.post("/payment/submit", {"coupon_code": code})
        assert answer.status_code == 200, answer.text
        assert (answer.get_json()["credit_added"], answer.get_json()["currency"]) == (
            "1.50",
            "USDT",
        )
        assert "days_added" not in answer.get_json()
        assert balance(api, api.user_id(reader)) == 1_500_000
        again = reader.post("/payment/submit", {"coupon_code": code})
        assert again.get_json()["code"] == "coupon_already_used"
        with at_work(api.app):
            assert prove().holds

    def test_at_once_never_more_than_its_uses(self, pg_api: Api) -> None:
        readers = make_readers(pg_api, 12)
        code = make(pg_api, CreditGift(1_000_000, "USDT"), max_uses=5)
        answers = at_once(
            12, lambda n: readers[n].post("/payment/submit", {"coupon_code": code}).status_code
        )
        assert sorted(answers) == [200] * 5 + [422] * 7
        total = sum(balance(pg_api, pg_api.user_id(reader)) for reader in readers)
        assert total == 5_000_000

    def test_revoked_it_gives_nothing(self, api: Api) -> None:
        code = make(api, CreditGift(1_000_000, "USDT"))
        (row,) = rows(api.app, Coupon)
        with at_work(api.app):
            assert coupons.revoke([row.id], CLI) == 1
            assert coupons.revoke([row.id], CLI) == 0
        answer = make_reader(api).post("/payment/submit", {"coupon_code": code})
        assert answer.get_json()["code"] == "coupon_expired"


class TestPercentCoupon:
    def test_lowers_the_price_of_an_intent(self, trusting: Api, grid: TronGridStandIn) -> None:
        reader = make_reader(trusting)
        code = make(trusting, PercentGift(30))
        intent = promise(reader, coupon_code=code)
        assert 3_500_000 < minor(intent) < 3_510_000
        grid.transfer(OURS, minor(intent))
        watch(trusting)
        assert reader.status()["subscription"]["days_remaining"] == 30
        with at_work(trusting.app):
            assert prove().holds

    def test_its_use_comes_back_when_nobody_pays(self, trusting: Api) -> None:
        reader = make_reader(trusting)
        code = make(trusting, PercentGift(30))
        promise(reader, coupon_code=code)
        assert rows(trusting.app, Coupon)[0].uses == 1
        refused = reader.post("/payment/intent", {"coupon_code": code})
        assert refused.get_json()["code"] == "coupon_already_used"
        with time_machine.travel(clock.now() + timedelta(hours=2)), trusting.app.app_context():
            jobs.expire()
            jobs.expire()
        assert rows(trusting.app, Coupon)[0].uses == 0
        promise(reader, coupon_code=code)

    def test_alone_it_says_where_it_goes(self, api: Api) -> None:
        code = make(api, PercentGift(30))
        answer = make_reader(api).post("/payment/submit", {"coupon_code": code})
        assert (answer.status_code, answer.get_json()["code"]) == (422, "coupon_goes_with_intent")
        assert rows(api.app, Coupon)[0].uses == 0

    def test_days_are_no_discount(self, seeing: Api) -> None:
        code = make(seeing, CreditGift(5, "USDT"))
        answer = make_reader(seeing).post("/payment/intent", {"coupon_code": code})
        assert answer.get_json()["code"] == "coupon_is_no_discount"
        assert rows(seeing.app, Coupon)[0].uses == 0


class TestFourEyes:
    @pytest.fixture
    def careful(self, deployment: Deployment, bot: BotApiStandIn) -> Any:
        with variant_api(deployment, bot, FOUR_EYES_ABOVE="4.99") as api:
            yield api

    def test_two_different_admins_must_approve(self, careful: Api) -> None:
        reader, tx = make_reader(careful), new_hash()
        reader.submit(tx)
        first, second = ADMIN_IDS
        assert "Another admin" in careful.press(first, tx, "Approve")
        payment = rows(careful.app, Payment)[0]
        assert payment.status is PaymentStatus.PENDING
        assert "another admin must approve" in careful.question(second, tx).text
        assert "already" in careful.press(first, tx, "Approve")
        assert careful.press(second, tx, "Approve") == "Approved."
        assert reader.status()["subscription"]["active"]

    def test_one_no_is_enough(self, careful: Api) -> None:
        payment = submit(careful.app, careful.user_id(make_reader(careful)))
        decide(careful.app, payment, Decision.APPROVE, admin(1))
        decide(careful.app, payment, Decision.REJECT, admin(1))
        assert payment_of(careful.app, payment).status is PaymentStatus.REJECTED

    def test_small_amounts_need_one(self, deployment: Deployment, bot: BotApiStandIn) -> None:
        with variant_api(deployment, bot, FOUR_EYES_ABOVE="5") as api:
            payment = submit(api.app, api.user_id(make_reader(api)))
            decide(api.app, payment, Decision.APPROVE)
            assert payment_of(api.app, payment).status is PaymentStatus.APPROVED

    def test_20_at_once_by_two_give_once(self, on_postgres: Deployment, bot: BotApiStandIn) -> None:
        on_postgres.reset()
        with variant_api(on_postgres, bot, FOUR_EYES_ABOVE="1") as api:
            reader = make_reader(api)
            payment = submit(api.app, api.user_id(reader))

            def press(number: int) -> None:
                with suppress(DomainError):
                    decide(api.app, payment, Decision.APPROVE, admin(number % 2))

            at_once(20, press)
            found = approval_of(api.app, payment)
            assert found.state is State.APPROVED
            assert found.first_by != found.decided_by
            assert reader.status()["subscription"]["days_remaining"] == 30
