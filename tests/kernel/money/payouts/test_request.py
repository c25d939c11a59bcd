"""Asking for a withdrawal: reserved at once, and what is refused."""

from __future__ import annotations

import uuid
from contextlib import suppress
from typing import Any

import pytest

from manga_backend.kernel.approvals.types import Decision
from manga_backend.kernel.backoffice.types import CLI
from manga_backend.kernel.money.coupons.types import CreditGift
from manga_backend.kernel.money.ledger.service import correct
from manga_backend.kernel.money.payouts.models import Payout, PayoutHistory
from manga_backend.kernel.notifications.models import Notification
from manga_backend.kit.problems import DomainError
from tests.conftest import Deployment
from tests.kernel.backoffice.test_panel import Panel
from tests.kernel.factories import admin, at_work, count, decide, make_reader, rows, told
from tests.kernel.money.payments.test_wallet import make
from tests.kernel.money.payouts.conftest import (
    THEIRS,
    Shop,
    approve,
    balance,
    book_holds,
    handle,
    order_of,
    refused,
    rich,
    send,
    status_of,
    withdraw,
)
from tests.standins.telegram import BotApiStandIn
from tests.support import ADMIN_IDS, Api, at_once
from tests.variants import variant_api


class TestRequest:
    def test_reserves_and_asks_the_admins(self, shop: Shop) -> None:
        api, provider = shop
        reader = rich(api)
        found = withdraw(reader)
        assert (found["status"], found["amount"], found["network"]) == ("pending", "20.00", "tron")
        assert balance(reader) == ("30.00", "20.00")
        api.deliver()
        question = api.question(ADMIN_IDS[0], reader.username).text
        assert THEIRS in question
        assert "30.00 USDT" in question
        send(api)
        assert provider.calls == []

    def test_reaches_the_address_once_approved(self, shop: Shop) -> None:
        api, provider = shop
        provider.balances["USDT"] = 100  # type: ignore[assignment]
        reader = rich(api)
        found = withdraw(reader)
        api.deliver()
        assert api.press(ADMIN_IDS[0], reader.username, "Approve") == "Approved."
        assert status_of(reader, found) == "processing"
        send(api)
        (path, asked), *_ = provider.calls
        assert path == "/v1/payout"
        assert asked == {
            "amount": "20.00",
            "currency": "USDT",
            "network": "tron",
            "order_id": order_of(found),
            "address": THEIRS,
            "is_subtract": False,
            "url_callback": "https://api.manga.example/api/webhook/cryptomus",
        }
        assert provider.payout_done(order_of(found)) == [200]
        handle(api)
        assert status_of(reader, found) == "paid"
        assert balance(reader) == ("30.00", "0.00")
        assert "sent" in told(api.app, api.user_id(reader))[-1].text
        steps = [row.to_status for row in rows(api.app, PayoutHistory)]
        assert steps == ["pending", "processing", "paid"]
        assert book_holds(api)

    def test_rejected_gives_it_back_with_the_reason(self, shop: Shop) -> None:
        api, _provider = shop
        reader = rich(api)
        found = withdraw(reader)
        payout_id = uuid.UUID(found["payment_id"])
        decide(api.app, payout_id, Decision.REJECT, admin(), "Not <you>")
        assert status_of(reader, found) == "cancelled"
        assert balance(reader) == ("50.00", "0.00")
        assert "Not <you>" in told(api.app, api.user_id(reader))[-1].text

    def test_its_user_may_take_it_back(self, shop: Shop) -> None:
        api, _provider = shop
        reader = rich(api)
        found = withdraw(reader)
        path = f"/payment/withdraw/{found['payment_id']}"
        other = make_reader(api)
        assert api.client().delete(path, headers=other.auth).status_code == 404
        answer = api.client().delete(path, headers=reader.auth)
        assert answer.get_json()["status"] == "cancelled"
        assert balance(reader) == ("50.00", "0.00")
        assert api.client().delete(path, headers=reader.auth).status_code == 409

    def test_cancelled_while_an_admin_approves_it_is_one_of_both(self, shop: Shop) -> None:
        api, _provider = shop
        reader = rich(api)
        found = withdraw(reader)
        path = f"/payment/withdraw/{found['payment_id']}"

        def act(number: int) -> Any:
            if number % 2:
                return api.client().delete(path, headers=reader.auth).get_json()
            with suppress(DomainError):
                approve(api, found, number)
            return {}

        answers = at_once(8, act)
        words = {answer.get("detail") for answer in answers} - {None}
        assert words <= {"This withdrawal has already been decided."}
        assert status_of(reader, found) in ("cancelled", "processing")
        assert book_holds(api)

    def test_small_ones_may_go_without_a_person(
        self, deployment: Deployment, bot: BotApiStandIn
    ) -> None:
        changes = {"WITHDRAW_BY": "hand", "WITHDRAW_APPROVAL_ABOVE": "20"}
        with variant_api(deployment, bot, **changes) as api:
            reader = rich(api)
            assert withdraw(reader)["status"] == "processing"
            assert withdraw(reader, "20.000001")["status"] == "pending"

    def test_what_needs_two_asks_them_however_small_it_is(
        self, deployment: Deployment, bot: BotApiStandIn
    ) -> None:
        changes = {"WITHDRAW_APPROVAL_ABOVE": "40", "FOUR_EYES_ABOVE": "10"}
        with variant_api(deployment, bot, WITHDRAW_BY="hand", **changes) as api:
            assert withdraw(rich(api), "10.01")["status"] == "pending"

    def test_whoever_sends_by_hand_is_told(
        self, deployment: Deployment, bot: BotApiStandIn
    ) -> None:
        changes = {"WITHDRAW_BY": "hand", "WITHDRAW_APPROVAL_ABOVE": "20"}
        with variant_api(deployment, bot, **changes) as api:
            withdraw(rich(api))
            waiting = [n for n in rows(api.app, Notification) if "to be sent by hand" in n.text]
            assert {n.chat_id for n in waiting} >= set(ADMIN_IDS)

    def test_large_ones_need_two(self, deployment: Deployment, bot: BotApiStandIn) -> None:
        with variant_api(deployment, bot, WITHDRAW_BY="hand", FOUR_EYES_ABOVE="19.99") as api:
            reader = rich(api)
            found = withdraw(reader)
            approve(api, found, 1)
            assert status_of(reader, found) == "pending"
            approve(api, found, 2)
            assert status_of(reader, found) == "processing"

    @pytest.mark.parametrize(
        ("body", "expected"),
        [
            ({"amount": "4.999999"}, (422, "amount_out_of_range")),
            ({"amount": "1000.000001"}, (422, "amount_out_of_range")),
            ({"amount": "51"}, (402, "not_enough_money")),
            ({"address": "TNotAnAddress"}, (400, "invalid_input")),
            (
                {"address": THEIRS[:-1] + ("a" if THEIRS[-1] != "a" else "b")},
                (400, "invalid_input"),
            ),
            ({"network": "bitcoin"}, (400, "invalid_input")),
            ({"network": "bsc"}, (400, "invalid_input")),
        ],
        ids=str,
    )
    def test_refusals_reserve_nothing(
        self, shop: Shop, body: dict[str, str], expected: tuple[int, str]
    ) -> None:
        api, _provider = shop
        reader = rich(api)
        assert refused(reader, **body) == expected
        assert balance(reader) == ("50.00", "0.00")
        assert count(api.app, Payout) == 0

    @pytest.mark.parametrize(
        "amount",
        ["NaN", "1e400", "-5", "5." + "0" * 40, "۲۰", "20,5", "", " 20", 20, 20.5, None, "9" * 40],
        ids=str,
    )
    def test_an_odd_amount_is_a_clear_400(self, shop: Shop, amount: object) -> None:
        api, _provider = shop
        answer = rich(api).post("/payment/withdraw", {"amount": amount, "address": THEIRS})
        assert answer.status_code == 400
        assert "amount" in answer.get_json()["errors"]

    def test_gifts_are_for_buying(self, shop: Shop) -> None:
        api, _provider = shop
        reader = rich(api, 10)
        reader.post("/payment/submit", {"coupon_code": make(api, CreditGift(8_000_000, "USDT"))})
        assert balance(reader)[0] == "18.00"
        assert refused(reader, amount="10.01") == (402, "not_enough_money")
        assert reader.post("/payment/wallet", {}).status_code == 200  # 5 of the gift are spent
        assert refused(reader, amount="10.01") == (402, "not_enough_money")
        withdraw(reader, "10")

    def test_a_gift_that_was_spent_and_refunded_is_a_gift_again(self, shop: Shop) -> None:
        api, _provider = shop
        reader = make_reader(api)
        reader.post("/payment/submit", {"coupon_code": make(api, CreditGift(8_000_000, "USDT"))})
        bought = reader.post("/payment/wallet", {}).get_json()["payment_id"]
        panel = Panel(api, api.staff().username)
        panel.post(f"/admin/payments/refund/{bought}", reason="unread")
        assert balance(reader)[0] == "8.00"
        assert refused(reader, amount="5") == (402, "not_enough_money")

    def test_what_was_bought_before_a_gift_came_is_not_its_price(self, shop: Shop) -> None:
        api, _provider = shop
        reader = rich(api, 10)
        for _ in range(2):
            reader.post("/payment/wallet", {})
        reader.post("/payment/submit", {"coupon_code": make(api, CreditGift(8_000_000, "USDT"))})
        assert balance(reader)[0] == "8.00"
        assert refused(reader, amount="5") == (402, "not_enough_money")

    def test_a_gift_that_was_taken_back_holds_nothing_back(self, shop: Shop) -> None:
        api, _provider = shop
        reader = rich(api, 10)
        reader.post("/payment/submit", {"coupon_code": make(api, CreditGift(8_000_000, "USDT"))})
        with at_work(api.app):
            correct(
                api.user_id(reader), -8_000_000, "USDT", key="back", note="a mistake", actor=CLI
            )
        withdraw(reader, "10")

    def test_a_gift_at_the_same_moment_does_not_leave(self, shop: Shop) -> None:
        api, _provider = shop
        reader = rich(api, 10)
        code = make(api, CreditGift(8_000_000, "USDT"))

        def act(number: int) -> int:
            if number % 2:
                body = {"amount": "18", "address": THEIRS}
                return reader.post("/payment/withdraw", body).status_code
            return reader.post("/payment/submit", {"coupon_code": code}).status_code

        assert 202 not in at_once(12, act)

    def test_three_may_be_under_way(self, shop: Shop) -> None:
        api, _provider = shop
        reader = rich(api)
        for _ in range(3):
            withdraw(reader, "5")
        assert refused(reader, amount="5") == (409, "too_many_pending")

    def test_the_limits_are_said_before(self, shop: Shop) -> None:
        api, _provider = shop
        reader = rich(api, 10)
        reader.post("/payment/submit", {"coupon_code": make(api, CreditGift(8_000_000, "USDT"))})
        assert reader.get("/payment/withdraw/limits").get_json() == {
            "withdrawable": "10.00",
            "least": "5.00",
            "most": "1000.00",
            "currency": "USDT",
            "networks": ["tron", "ethereum", "bsc", "polygon", "ton"],
        }

    def test_off_by_default(self, api: Api) -> None:
        assert refused(rich(api)) == (422, "withdrawals_off")

    def test_the_same_key_asks_once(self, shop: Shop) -> None:
        api, _provider = shop
        reader = rich(api)
        body = {"amount": "20", "address": THEIRS}
        key = {"Idempotency-Key": "once"}
        first, second = (reader.post("/payment/withdraw", body, **key) for _ in range(2))
        assert first.get_json() == second.get_json()
        assert count(api.app, Payout) == 1

    def test_20_at_once_never_take_more_than_there_is(self, shop: Shop) -> None:
        api, _provider = shop
        reader = rich(api)
        statuses = at_once(
            20,
            lambda _: (
                reader.post("/payment/withdraw", {"amount": "20", "address": THEIRS}).status_code
            ),
        )
        assert statuses.count(202) == 2
        assert balance(reader) == ("10.00", "40.00")
        assert book_holds(api)
