"""Sending a withdrawal: once, and given back when it was not sent."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from manga_backend.kernel.backoffice.models import AuditEntry
from manga_backend.kernel.backoffice.types import CLI
from manga_backend.kernel.identity.types import Role
from manga_backend.kernel.money.gateways.models import Webhook
from manga_backend.kernel.money.gateways.types import Remittance, RemittanceStatus
from manga_backend.kernel.money.payouts.models import Payout, PayoutHistory
from manga_backend.kernel.money.payouts.service import sending
from manga_backend.kernel.money.payouts.types import PayoutStatus
from manga_backend.kernel.notifications.models import Notification
from manga_backend.kit.db import transaction
from manga_backend.kit.problems import DomainError
from tests.conftest import Deployment
from tests.kernel.backoffice.test_panel import Panel
from tests.kernel.factories import count, rows, told
from tests.kernel.money.payouts.conftest import (
    THEIRS,
    approve,
    balance,
    book_holds,
    handle,
    later,
    order_of,
    rich,
    send,
    status_of,
    withdraw,
)
from tests.standins.telegram import BotApiStandIn
from tests.support import ADMIN_IDS, Api, at_once, new_hash
from tests.variants import variant_api


class TestSending:
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
        assert len([n for n in told(api.app, api.user_id(reader)) if "was sent" in n.text]) == 1
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
        stuck = [n for n in rows(api.app, Notification) if "Something is wrong" in n.text]
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
        with later(10.5):
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
