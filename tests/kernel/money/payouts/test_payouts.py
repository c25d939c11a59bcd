"""Withdrawals: reserved at once, sent once, and given back when they were not sent."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
import time_machine

from manga_backend.kernel.approvals.types import Decision
from manga_backend.kernel.backoffice.models import AuditEntry
from manga_backend.kernel.backoffice.types import CLI
from manga_backend.kernel.identity.types import Role
from manga_backend.kernel.money.coupons.types import CreditGift
from manga_backend.kernel.money.gateways import jobs as gateway_jobs
from manga_backend.kernel.money.gateways.models import Webhook
from manga_backend.kernel.money.gateways.types import Remittance, RemittanceStatus
from manga_backend.kernel.money.ledger.queries import prove
from manga_backend.kernel.money.ledger.service import correct
from manga_backend.kernel.money.payouts import jobs
from manga_backend.kernel.money.payouts.models import Payout, PayoutHistory
from manga_backend.kernel.money.payouts.service import sending
from manga_backend.kernel.money.payouts.types import PayoutStatus
from manga_backend.kernel.notifications.models import Notification
from manga_backend.kit import clock
from manga_backend.kit.db import transaction
from manga_backend.kit.problems import DomainError
from tests.conftest import Deployment
from tests.kernel.backoffice.test_panel import Panel
from tests.kernel.factories import admin, at_work, count, decide, make_reader, rows, told
from tests.kernel.money.payments.test_wallet import make
from tests.standins.chains.tron import some_address
from tests.standins.cryptomus import CryptomusStandIn
from tests.standins.telegram import BotApiStandIn
from tests.support import ADMIN_IDS, Api, Reader, at_once, new_hash
from tests.variants import variant_api

THEIRS = some_address("reader")
MISTYPED = THEIRS[:-1] + ("a" if THEIRS[-1] != "a" else "b")
Shop = tuple[Api, CryptomusStandIn]


def rich(api: Api, amount: int = 50) -> Reader:
    """A reader with so many USDT in the wallet."""
    reader = make_reader(api)
    with at_work(api.app):
        user_id = api.user_id(reader)
        correct(
            user_id, amount * 10**6, "USDT", key=f"fill:{user_id}", note="for a test", actor=CLI
        )
    return reader


def withdraw(reader: Reader, amount: str = "20", **more: Any) -> dict[str, Any]:
    answer = reader.post("/payment/withdraw", {"amount": amount, "address": THEIRS, **more})
    assert answer.status_code == 202, answer.text
    found: dict[str, Any] = answer.get_json()
    return found


def refused(reader: Reader, **body: Any) -> tuple[int, str]:
    answer = reader.post("/payment/withdraw", {"amount": "20", "address": THEIRS, **body})
    return answer.status_code, answer.get_json()["code"]


def approve(api: Api, found: dict[str, Any], number: int = 1) -> None:
    decide(api.app, uuid.UUID(found["payment_id"]), Decision.APPROVE, admin(number))


def order_of(found: dict[str, Any]) -> str:
    return uuid.UUID(found["payment_id"]).hex


def send(api: Api) -> None:
    with api.app.app_context():
        jobs.send_due()


def handle(api: Api) -> None:
    with api.app.app_context():
        gateway_jobs.handle_webhooks()


def later(minutes: float) -> time_machine.travel:
    return time_machine.travel(clock.now() + timedelta(minutes=minutes))


def balance(reader: Reader) -> tuple[str, str]:
    """What may be spent, and what is reserved."""
    found = reader.get("/api/balance").get_json()
    return found["balance"], found["reserved"]


def status_of(reader: Reader, found: dict[str, Any]) -> str:
    return str(reader.get(f"/payment/withdraw/{found['payment_id']}").get_json()["status"])


def book_holds(api: Api) -> bool:
    with at_work(api.app):
        return prove().holds


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

    def test_small_ones_may_go_without_a_person(
        self, deployment: Deployment, bot: BotApiStandIn
    ) -> None:
        changes = {"WITHDRAW_BY": "hand", "WITHDRAW_APPROVAL_ABOVE": "20"}
        with variant_api(deployment, bot, **changes) as api:
            reader = rich(api)
            assert withdraw(reader)["status"] == "processing"
            assert withdraw(reader, "20.000001")["status"] == "pending"

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

    def test_three_may_be_under_way(self, shop: Shop) -> None:
        api, _provider = shop
        reader = rich(api)
        for _ in range(3):
            withdraw(reader, "5")
        assert refused(reader, amount="5") == (409, "too_many_pending")

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


class TestSending:
    @pytest.fixture
    def sent(self, shop: Shop) -> tuple[Api, CryptomusStandIn, Reader, dict[str, Any]]:
        """Approved; the provider has the money for it."""
        api, provider = shop
        provider.balances["USDT"] = 100  # type: ignore[assignment]
        reader = rich(api)
        found = withdraw(reader)
        approve(api, found)
        return api, provider, reader, found

    def test_many_senders_at_once_send_once(self, sent: Any) -> None:
        api, provider, _reader, _found = sent
        at_once(8, lambda _: send(api))
        assert [path for path, _ in provider.calls] == ["/v1/payout"]
        assert provider.balances["USDT"] == 80

    def test_an_answer_that_was_lost_sends_nothing_twice(self, sent: Any) -> None:
        api, provider, reader, found = sent
        provider.fail_next("/v1/payout", drop_connection=True, processed=True)
        send(api)
        assert status_of(reader, found) == "processing"
        provider.withhold = True
        provider.payout_done(order_of(found))
        with later(2):
            send(api)
        assert status_of(reader, found) == "paid"
        assert provider.balances["USDT"] == 80

    def test_a_webhook_that_never_comes_is_asked_for(self, sent: Any) -> None:
        api, provider, reader, found = sent
        send(api)
        provider.withhold = True
        provider.payout_done(order_of(found))
        send(api)
        assert status_of(reader, found) == "processing"  # not its time yet
        with later(1):
            send(api)
        assert status_of(reader, found) == "paid"

    @pytest.mark.parametrize("status", ["fail", "cancel", "system_fail"])
    def test_what_failed_is_back_in_the_wallet(self, sent: Any, status: str) -> None:
        api, provider, reader, found = sent
        send(api)
        provider.payout_done(order_of(found), status, fail_reason="address_error")
        handle(api)
        assert status_of(reader, found) == "failed"
        assert balance(reader) == ("50.00", "0.00")
        assert "could not be sent" in told(api.app, api.user_id(reader))[-1].text
        assert rows(api.app, Payout)[0].problem == "address_error"
        assert book_holds(api)

    def test_50_webhooks_at_once_post_once(self, sent: Any) -> None:
        api, provider, reader, found = sent
        send(api)
        assert set(provider.payout_done(order_of(found), times=50, at_once=True)) == {200}
        at_once(4, lambda _: handle(api))
        assert rows(api.app, Webhook)[0].deliveries == 50
        assert balance(reader) == ("30.00", "0.00")
        assert len([n for n in told(api.app, api.user_id(reader)) if "sent" in n.text]) <= 2
        assert book_holds(api)

    @pytest.mark.parametrize(
        "lie", [{"amount": "20.01"}, {"amount": "NaN"}, {"currency": "BTC"}, {"order": "f" * 32}]
    )
    def test_a_wrong_number_settles_nothing(self, sent: Any, lie: dict[str, str]) -> None:
        api, provider, reader, found = sent
        send(api)
        assert provider.payout_done(order_of(found), move=False, **lie) == [200]
        handle(api)
        assert status_of(reader, found) == "processing"

    def test_a_wrong_signature_is_refused(self, sent: Any) -> None:
        api, provider, reader, found = sent
        send(api)
        assert provider.payout_done(order_of(found), move=False, sign="0" * 32) == [403]
        handle(api)
        assert status_of(reader, found) == "processing"
        assert count(api.app, AuditEntry, AuditEntry.action == "webhook.refused") == 1

    def test_without_funds_admins_are_told_once_and_it_is_tried_again(self, sent: Any) -> None:
        api, provider, reader, found = sent
        provider.balances["USDT"] = 0
        send(api)
        with later(2):
            send(api)
        stuck = [n for n in rows(api.app, Notification) if "is not being sent" in n.text]
        assert {n.chat_id for n in stuck} >= set(ADMIN_IDS)
        assert len(stuck) == len({n.chat_id for n in stuck})
        assert "Not enough funds" in stuck[0].text
        provider.balances["USDT"] = 100
        with later(10):
            send(api)
        assert provider.payout(order_of(found)).status == "process"
        assert rows(api.app, Payout)[0].problem is None
        assert balance(reader) == ("30.00", "20.00")

    def test_given_up_it_goes_back_when_the_provider_never_had_it(self, sent: Any) -> None:
        api, provider, reader, found = sent
        provider.balances["USDT"] = 0
        send(api)
        panel = Panel(api, api.staff().username)
        page = panel.post(f"/admin/payouts/give-back/{found['payment_id']}", reason="no funds")
        assert "within a quarter of an hour" in page.text
        provider.balances["USDT"] = 100
        with later(5):
            send(api)  # too soon: the order may still be on its way
        assert status_of(reader, found) == "processing"
        with later(25):
            send(api)
        assert provider.calls[-1][0] == "/v1/payout/info"
        assert status_of(reader, found) == "failed"
        assert balance(reader) == ("50.00", "0.00")
        assert "no funds" in told(api.app, api.user_id(reader))[-1].text

    def test_given_up_it_stays_when_the_provider_has_it(self, sent: Any) -> None:
        api, provider, reader, found = sent
        provider.fail_next("/v1/payout", drop_connection=True, processed=True)
        send(api)
        panel = Panel(api, api.staff().username)
        panel.post(f"/admin/payouts/give-back/{found['payment_id']}", reason="silent")
        with later(20):
            send(api)
        assert status_of(reader, found) == "processing"
        provider.payout_done(order_of(found))
        handle(api)
        assert status_of(reader, found) == "paid"

    def test_an_away_provider_loses_nothing(self, sent: Any) -> None:
        api, provider, reader, found = sent
        provider.fail_next("/v1/payout", status=503)
        send(api)
        assert balance(reader) == ("30.00", "20.00")
        with later(2):
            send(api)
        assert provider.payout(order_of(found)).status == "process"

    def test_paid_and_failed_at_once_settle_once(self, sent: Any) -> None:
        api, _provider, reader, found = sent
        send(api)

        def tell(number: int) -> None:
            status = RemittanceStatus.PAID if number % 2 else RemittanceStatus.FAILED
            with api.app.app_context(), transaction():
                sending.settle(Remittance(order_of(found), status, "20", "USDT"))

        at_once(12, tell)
        assert status_of(reader, found) in ("paid", "failed")
        assert balance(reader)[1] == "0.00"
        assert book_holds(api)


class TestByHand:
    @pytest.fixture
    def by_hand(self, deployment: Deployment, bot: BotApiStandIn) -> Any:
        with variant_api(deployment, bot, WITHDRAW_BY="hand") as api:
            yield api

    def test_an_admin_sends_it_and_writes_down_the_hash(self, by_hand: Api) -> None:
        reader = rich(by_hand)
        found = withdraw(reader)
        approve(by_hand, found)
        send(by_hand)
        panel = Panel(by_hand, by_hand.staff().username)
        path, tx = f"/admin/payouts/paid/{found['payment_id']}", new_hash()
        assert "not a transaction hash" in panel.post(path, tx_hash="no hash").text
        panel.post(path, tx_hash=tx.upper())
        answer = reader.get(f"/payment/withdraw/{found['payment_id']}").get_json()
        assert (answer["status"], answer["tx_hash"]) == ("paid", tx)
        assert balance(reader) == ("30.00", "0.00")
        assert "already" in panel.post(path, tx_hash=new_hash()).text
        assert tx in told(by_hand.app, by_hand.user_id(reader))[-1].text

    def test_or_gives_it_back(self, by_hand: Api) -> None:
        reader = rich(by_hand)
        found = withdraw(reader)
        approve(by_hand, found)
        panel = Panel(by_hand, by_hand.staff().username)
        path = f"/admin/payouts/give-back/{found['payment_id']}"
        assert "A reason is needed" in panel.post(path).text
        panel.post(path, reason="wrong network")
        assert status_of(reader, found) == "failed"
        assert balance(reader) == ("50.00", "0.00")

    def test_support_may_only_look(self, by_hand: Api) -> None:
        reader = rich(by_hand)
        found = withdraw(reader)
        approve(by_hand, found)
        panel = Panel(by_hand, by_hand.staff(Role.SUPPORT).username)
        assert THEIRS in panel.get("/admin/payouts/").text
        path = f"/admin/payouts/paid/{found['payment_id']}"
        assert panel.post(path, tx_hash=new_hash()).status_code == 403
        assert status_of(reader, found) == "processing"

    def test_both_at_once_are_one(self, by_hand: Api) -> None:
        reader = rich(by_hand)
        found = withdraw(reader)
        approve(by_hand, found)
        payout_id = uuid.UUID(found["payment_id"])
        acts: list[Callable[[], None]] = [
            lambda: sending.mark_paid(payout_id, new_hash(), CLI),
            lambda: sending.give_up(payout_id, CLI, "no"),
        ]

        def one(number: int) -> None:
            with suppress(DomainError), by_hand.app.app_context(), transaction():
                acts[number % 2]()

        at_once(10, one)
        (payout,) = rows(by_hand.app, Payout)
        assert payout.status in (PayoutStatus.PAID, PayoutStatus.FAILED)
        assert count(by_hand.app, PayoutHistory) == 3
        assert book_holds(by_hand)
