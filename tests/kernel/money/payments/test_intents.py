"""Intents: an amount that is nobody else's settles by itself, and nobody can steal it."""

from __future__ import annotations

import uuid
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
import time_machine

from manga_backend.kernel.approvals.types import Decision
from manga_backend.kernel.money.ledger.queries import prove
from manga_backend.kernel.money.payments import jobs
from manga_backend.kernel.money.payments.models import ChainTransfer, Payment, PaymentIntent
from manga_backend.kernel.money.payments.types import IntentStatus, PaymentStatus
from manga_backend.kit import clock
from tests.conftest import Deployment
from tests.kernel.factories import (
    at_work,
    count,
    decide,
    make_reader,
    payment_of,
    rows,
    subscription_of,
    told,
)
from tests.kernel.money.payments.conftest import OURS, reading
from tests.kernel.money.payments.test_verify import look, sent, verdict_of
from tests.standins.chains import TronGridStandIn
from tests.standins.telegram import BotApiStandIn
from tests.support import ADMIN_IDS, LOG_CHANNEL, Api, Reader, at_once

ADMIN = ADMIN_IDS[0]


def promise(reader: Reader, **body: Any) -> dict[str, Any]:
    answer = reader.post("/payment/intent", body)
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.get_json()
    return found


def minor(intent: dict[str, Any]) -> int:
    return int(Decimal(intent["amount"]) * 10**6)


def watch(api: Api) -> None:
    with api.app.app_context():
        jobs.watch()


def only_payment(api: Api) -> Payment:
    (payment,) = rows(api.app, Payment)
    assert isinstance(payment, Payment)
    return payment


class TestOpen:
    def test_says_how_to_pay(self, seeing: Api) -> None:
        found = promise(make_reader(seeing), plan="monthly", network="tron")
        assert 5_000_000 < minor(found) < 5_010_000
        assert (found["currency"], found["network"]) == ("USDT", "tron")
        assert (found["address"], found["status"], found["payment_id"]) == (OURS, "open", None)
        assert found["qr"].startswith("data:image/svg+xml")
        assert found["expires_at"].endswith("Z")

    def test_asked_again_it_is_the_same(self, seeing: Api) -> None:
        reader = make_reader(seeing)
        first, second = promise(reader), promise(reader, plan="monthly")
        assert first["intent_id"] == second["intent_id"]
        assert count(seeing.app, PaymentIntent) == 1

    def test_shortly_before_its_end_there_is_a_new_one(self, seeing: Api) -> None:
        reader = make_reader(seeing)
        first = promise(reader)
        with time_machine.travel(clock.now() + timedelta(minutes=45)):
            second = promise(reader)
        assert first["intent_id"] != second["intent_id"]
        assert first["amount"] != second["amount"]

    def test_amounts_of_many_at_once_differ(
        self, on_postgres: Deployment, bot: BotApiStandIn, grid: TronGridStandIn
    ) -> None:
        on_postgres.reset()
        with reading(on_postgres, bot, grid) as api:
            readers = [make_reader(api) for _ in range(30)]
            found = at_once(30, lambda n: promise(readers[n])["amount"])
        assert len(set(found)) == 30

    def test_a_network_that_nobody_watches_is_refused(self, seeing: Api) -> None:
        answer = make_reader(seeing).post("/payment/intent", {"network": "bsc"})
        assert (answer.status_code, answer.get_json()["code"]) == (422, "network_not_watched")

    @pytest.mark.parametrize("body", [{"plan": "yearly"}, {"network": "doge"}, {"amount": "1"}])
    def test_bad_input_is_refused(self, seeing: Api, body: dict[str, str]) -> None:
        assert make_reader(seeing).post("/payment/intent", body).status_code == 400
        assert count(seeing.app, PaymentIntent) == 0

    def test_is_seen_by_its_owner_alone(self, seeing: Api) -> None:
        owner, other = make_reader(seeing), make_reader(seeing)
        path = f"/payment/intent/{promise(owner)['intent_id']}"
        assert owner.get(path).status_code == 200
        assert other.get(path).get_json()["code"] == "intent_not_found"


class TestSettle:
    def test_by_itself_and_without_a_hash(self, trusting: Api, grid: TronGridStandIn) -> None:
        reader = make_reader(trusting)
        intent = promise(reader)
        tx = grid.transfer(OURS, minor(intent))
        watch(trusting)
        payment = only_payment(trusting)
        assert (payment.status, payment.tx_hash) == (PaymentStatus.APPROVED, tx)
        found = reader.get(f"/payment/intent/{intent['intent_id']}").get_json()
        assert (found["status"], found["payment_id"]) == ("settled", str(payment.id))
        assert reader.status()["subscription"]["days_remaining"] == 30
        assert [n.kind for n in told(trusting.app, trusting.user_id(reader))] == [
            "payment_approved"
        ]
        trusting.deliver()
        assert trusting.bot.wait_for_message(LOG_CHANNEL, contains=tx, timeout=30)
        with at_work(trusting.app):
            assert prove().holds

    def test_watched_twice_and_at_once_it_counts_once(
        self, trusting: Api, grid: TronGridStandIn
    ) -> None:
        reader = make_reader(trusting)
        grid.transfer(OURS, minor(promise(reader)))
        at_once(5, lambda _: watch(trusting))
        watch(trusting)
        assert count(trusting.app, Payment) == count(trusting.app, ChainTransfer) == 1
        assert reader.status()["subscription"]["days_remaining"] == 30

    def test_without_auto_approve_an_admin_is_asked_with_the_verdict(
        self, seeing: Api, grid: TronGridStandIn
    ) -> None:
        reader = make_reader(seeing)
        tx = grid.transfer(OURS, minor(promise(reader)))
        watch(seeing)
        seeing.deliver()
        assert "token are right" in seeing.question(ADMIN, tx).text
        seeing.press(ADMIN, tx, "Approve")
        assert reader.status()["subscription"]["active"]

    def test_another_amount_settles_nothing(self, trusting: Api, grid: TronGridStandIn) -> None:
        reader = make_reader(trusting)
        grid.transfer(OURS, minor(promise(reader)) + 1)
        watch(trusting)
        assert count(trusting.app, Payment) == 0
        assert count(trusting.app, ChainTransfer) == 1

    def test_a_transfer_from_before_the_promise_settles_nothing(
        self, trusting: Api, grid: TronGridStandIn
    ) -> None:
        intent = promise(make_reader(trusting))
        grid.transfer(OURS, minor(intent), at=int(clock.now().timestamp()) - 600)
        watch(trusting)
        assert count(trusting.app, Payment) == 0

    def test_unsolidified_it_waits(self, trusting: Api, grid: TronGridStandIn) -> None:
        tx = grid.transfer(OURS, minor(promise(make_reader(trusting))), solidified=False)
        watch(trusting)
        assert count(trusting.app, Payment) == 0
        grid.solidify(tx)
        watch(trusting)
        assert only_payment(trusting).status is PaymentStatus.APPROVED

    def test_late_it_is_still_found_and_put_before_an_admin(
        self, trusting: Api, grid: TronGridStandIn
    ) -> None:
        reader = make_reader(trusting)
        intent = promise(reader)
        later = clock.now() + timedelta(minutes=90)
        with time_machine.travel(later):
            with trusting.app.app_context():
                jobs.expire()
                jobs.expire()
            (row,) = rows(trusting.app, PaymentIntent)
            assert row.status is IntentStatus.EXPIRED
            tx = grid.transfer(OURS, minor(intent), at=int(later.timestamp()) - 60)
            watch(trusting)
            payment = only_payment(trusting)
            assert payment.status is PaymentStatus.PENDING
            assert (payment.verification or {})["late"] is True
            trusting.deliver()
            assert "after the time" in trusting.question(ADMIN, tx).text
            decide(trusting.app, payment.id, Decision.APPROVE)
        assert subscription_of(trusting.app, trusting.user_id(reader)) is not None

    def test_a_node_in_trouble_is_red_and_loses_nothing(
        self, trusting: Api, grid: TronGridStandIn
    ) -> None:
        grid.transfer(OURS, minor(promise(make_reader(trusting))))
        grid.fail_next(503)
        watch(trusting)
        with trusting.app.app_context():
            red = jobs.readiness()
        assert not red.ok
        assert "tron: HTTP 503" in red.detail
        watch(trusting)
        assert only_payment(trusting).status is PaymentStatus.APPROVED
        with trusting.app.app_context():
            assert jobs.readiness().ok

    def test_nobody_is_asked_while_nobody_pays(self, trusting: Api, grid: TronGridStandIn) -> None:
        watch(trusting)
        assert grid.calls == []


class TestSniping:
    """The chain is public: anyone may read a hash there and send it first."""

    def test_a_thief_is_flagged_and_the_owner_still_gets_it(
        self, trusting: Api, grid: TronGridStandIn
    ) -> None:
        owner, thief = make_reader(trusting), make_reader(trusting)
        intent = promise(owner)
        tx = grid.transfer(OURS, minor(intent))
        stolen = sent(thief, tx)
        look(trusting)
        assert verdict_of(trusting, stolen)["belongs_to_another_intent"] is True
        trusting.deliver()
        assert "what another user promised to pay" in trusting.question(ADMIN, tx).text
        watch(trusting)
        assert payment_of(trusting.app, stolen).status is PaymentStatus.PENDING
        decide(trusting.app, stolen, Decision.REJECT)
        watch(trusting)
        assert owner.status()["subscription"]["days_remaining"] == 30
        assert not thief.status()["subscription"]["active"]

    def test_whoever_sends_the_hash_of_the_own_promise_is_no_thief(
        self, trusting: Api, grid: TronGridStandIn
    ) -> None:
        owner = make_reader(trusting)
        tx = grid.transfer(OURS, minor(promise(owner)))
        payment = sent(owner, tx)
        look(trusting)
        assert "belongs_to_another_intent" not in verdict_of(trusting, payment)
        watch(trusting)
        assert count(trusting.app, Payment) == 1

    def test_once_settled_its_hash_is_taken(self, trusting: Api, grid: TronGridStandIn) -> None:
        tx = grid.transfer(OURS, minor(promise(make_reader(trusting))))
        watch(trusting)
        answer = make_reader(trusting).submit(tx, network="tron")
        assert answer.get_json()["code"] == "transaction_already_used"


def test_ids_are_uuids(seeing: Api) -> None:
    assert uuid.UUID(promise(make_reader(seeing))["intent_id"])
