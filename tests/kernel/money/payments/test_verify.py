"""The chain's word stands in the admins' messages, and follows what is known."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

import time_machine

from manga_backend.kernel.approvals.types import Decision
from manga_backend.kernel.money.chains.types import Verdict
from manga_backend.kernel.money.ledger.queries import find_wallet, prove
from manga_backend.kernel.money.payments import jobs
from manga_backend.kernel.money.payments.service import verify
from manga_backend.kernel.operations.service import readiness
from manga_backend.kit import clock
from tests.kernel.factories import at_work, decide, make_reader, payment_of
from tests.kernel.money.payments.conftest import OURS
from tests.standins.chains import TronGridStandIn
from tests.standins.chains.tron import some_address
from tests.support import ADMIN_IDS, Api, Reader, at_once, new_hash

PRICE = 5_000_000
ADMIN = ADMIN_IDS[0]


def look(api: Api) -> None:
    """One round of the verification."""
    with api.app.app_context():
        jobs.verify_due()


def sent(reader: Reader, tx_hash: str) -> uuid.UUID:
    answer = reader.submit(tx_hash, network="tron")
    assert answer.status_code == 202, answer.text
    return uuid.UUID(answer.get_json()["payment_id"])


def verdict_of(api: Api, payment: uuid.UUID) -> dict[str, Any]:
    return payment_of(api.app, payment).verification or {}


class TestVerdict:
    def test_stands_in_the_message_and_the_answer(self, seeing: Api, grid: TronGridStandIn) -> None:
        reader = make_reader(seeing)
        tx = grid.transfer(OURS, PRICE)
        payment = sent(reader, tx)
        seeing.deliver()
        assert "not checked on the chain" in seeing.question(ADMIN, tx).text
        look(seeing)
        seeing.deliver()
        message = seeing.question(ADMIN, tx)
        assert "the amount, the receiver and the token are right" in message.text
        assert "5.00 USDT" in message.text
        assert [button["text"] for button in message.buttons] == ["✅ Approve", "❌ Reject"]
        (shown,) = reader.get("/api/payments").get_json()
        assert shown["verification"]["verdict"] == "match"
        assert payment_of(seeing.app, payment).verify_at is None

    def test_is_refreshed_until_it_is_final(self, seeing: Api, grid: TronGridStandIn) -> None:
        tx = grid.transfer(OURS, PRICE, solidified=False)
        payment = sent(make_reader(seeing), tx)
        look(seeing)
        assert verdict_of(seeing, payment)["verdict"] == Verdict.UNCONFIRMED
        look(seeing)  # not due yet: nobody is asked
        asked = len(grid.calls)
        look(seeing)
        assert len(grid.calls) == asked
        grid.solidify(tx)
        with time_machine.travel(clock.now() + timedelta(minutes=1)):
            look(seeing)
        assert verdict_of(seeing, payment)["verdict"] == Verdict.MATCH
        assert seeing.press(ADMIN, tx, "Approve")
        assert payment_of(seeing.app, payment).status == "approved"

    def test_buttons_work_after_many_refreshes(self, seeing: Api, grid: TronGridStandIn) -> None:
        tx = new_hash()
        payment = sent(make_reader(seeing), tx)
        now = clock.now()
        for minutes in (0, 10, 20):
            with time_machine.travel(now + timedelta(minutes=minutes)):
                look(seeing)
        assert verdict_of(seeing, payment)["verdict"] == Verdict.NOT_FOUND
        shown = seeing.press(ADMIN, tx, "Reject")
        assert shown
        assert payment_of(seeing.app, payment).status == "rejected"
        for admin in ADMIN_IDS:
            assert seeing.question(admin, tx).buttons == []

    def test_of_what_is_decided_is_asked_no_more(self, seeing: Api, grid: TronGridStandIn) -> None:
        payment = sent(make_reader(seeing), "cd" * 32)
        decide(seeing.app, payment, Decision.REJECT)
        look(seeing)
        assert grid.calls == []
        assert verdict_of(seeing, payment)["verdict"] == Verdict.UNCHECKED

    def test_a_node_that_is_away_rejects_nobody(self, seeing: Api, grid: TronGridStandIn) -> None:
        tx = grid.transfer(OURS, PRICE)
        payment = sent(make_reader(seeing), tx)
        grid.fail_next(503, times=5)
        look(seeing)
        assert verdict_of(seeing, payment)["verdict"] == Verdict.UNKNOWN
        assert payment_of(seeing.app, payment).status == "pending"
        with time_machine.travel(clock.now() + timedelta(minutes=10)):
            grid.fail_next(503, times=0)
            look(seeing)
            look(seeing)

    def test_is_given_up_after_a_day(self, seeing: Api) -> None:
        payment = sent(make_reader(seeing), "ef" * 32)
        with time_machine.travel(clock.now() + timedelta(hours=25)):
            look(seeing)
        assert payment_of(seeing.app, payment).verify_at is None

    def test_too_old_a_hash_is_said_to_be(self, seeing: Api, grid: TronGridStandIn) -> None:
        yesterday = int((clock.now() - timedelta(hours=30)).timestamp())
        tx = grid.transfer(OURS, PRICE, at=yesterday)
        payment = sent(make_reader(seeing), tx)
        look(seeing)
        assert verdict_of(seeing, payment)["verdict"] == Verdict.TOO_OLD

    def test_workers_at_once_ask_once(self, seeing: Api, grid: TronGridStandIn) -> None:
        tx = grid.transfer(OURS, PRICE)
        sent(make_reader(seeing), tx)
        at_once(6, lambda _: look(seeing))
        paths = [call.path for call in grid.calls]
        assert paths.count("/walletsolidity/gettransactioninfobyid") == 1

    def test_a_late_answer_of_a_lost_lease_changes_nothing(
        self, seeing: Api, grid: TronGridStandIn
    ) -> None:
        payment = sent(make_reader(seeing), "12" * 32)
        with at_work(seeing.app):
            (asked,) = verify.claim_due()
        with time_machine.travel(clock.now() + verify.LEASE):
            look(seeing)
        before = verdict_of(seeing, payment)
        with at_work(seeing.app):
            verify.record(asked, verify.Finding(Verdict.MATCH, amount=1, final=True))
        assert verdict_of(seeing, payment) == before


class TestMoney:
    def test_what_was_paid_too_much_goes_to_the_wallet(
        self, seeing: Api, grid: TronGridStandIn
    ) -> None:
        reader = make_reader(seeing)
        payment = sent(reader, grid.transfer(OURS, PRICE + 1_250_000))
        look(seeing)
        decide(seeing.app, payment, Decision.APPROVE)
        with at_work(seeing.app):
            assert find_wallet(seeing.user_id(reader), "USDT").balance == 1_250_000
            assert prove().holds

    def test_what_nobody_has_seen_credits_nothing_more(self, seeing: Api) -> None:
        reader = make_reader(seeing)
        payment = sent(reader, "34" * 32)
        decide(seeing.app, payment, Decision.APPROVE)
        with at_work(seeing.app):
            assert find_wallet(seeing.user_id(reader), "USDT").balance == 0
            assert prove().transfers == 1

    def test_to_another_address_is_named(self, seeing: Api, grid: TronGridStandIn) -> None:
        tx = grid.transfer(some_address("friend"), PRICE)
        sent(make_reader(seeing), tx)
        look(seeing)
        seeing.deliver()
        assert "paid to another address" in seeing.question(ADMIN, tx).text


class TestReadiness:
    def test_names_the_chains_that_are_read(self, seeing: Api) -> None:
        with seeing.app.app_context():
            assert readiness()["chains"].detail == "tron"
