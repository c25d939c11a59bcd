"""The chain's word stands in the admins' messages, and follows what is known."""

from __future__ import annotations

import re
import uuid
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from sqlalchemy import update

from manga_backend.kernel.approvals.errors import OptionGone
from manga_backend.kernel.approvals.service import deciding as desk
from manga_backend.kernel.approvals.types import Decision
from manga_backend.kernel.memberships.models import Plan
from manga_backend.kernel.money.chains.types import Verdict
from manga_backend.kernel.money.ledger.models import Transfer
from manga_backend.kernel.money.ledger.queries import find_wallet, prove, withdrawable
from manga_backend.kernel.money.payments import jobs
from manga_backend.kernel.money.payments.service import verify
from manga_backend.kernel.money.payments.service.decide import PaymentSubject
from manga_backend.kernel.operations.service.health import readiness
from manga_backend.kit import clock
from manga_backend.kit.i18n import in_language
from manga_backend.kit.problems import DomainError
from tests.conftest import Deployment
from tests.kernel.backoffice.test_panel import Panel
from tests.kernel.factories import (
    admin,
    approval_of,
    at_work,
    decide,
    earned,
    make_reader,
    payment_of,
    rows,
    told,
)
from tests.kernel.money.payments.conftest import OURS, reading
from tests.standins.chains import TronGridStandIn
from tests.standins.chains.tron import some_address
from tests.standins.telegram import BotApiStandIn
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


def make_plan(api: Api, code: str, **values: Any) -> None:
    """On sale, unless it says otherwise."""
    names = {"en": code.capitalize()}
    with at_work(api.app) as current:
        current.add(Plan(code=code, product="manga", names=names, currency="USDT", **values))


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
        for chat in ADMIN_IDS:
            assert seeing.question(chat, tx).buttons == []

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


class TestTooLittle:
    """The admin sees the difference, and may take it for a shorter plan."""

    @pytest.fixture
    def short(self, seeing: Api, grid: TronGridStandIn) -> tuple[Api, Reader, str, uuid.UUID]:
        """3.50 came for a plan of 5; a week costs 2."""
        make_plan(seeing, "weekly", days=7, price=2_000_000)
        make_plan(seeing, "daily", days=1, price=500_000)
        make_plan(seeing, "dear", days=20, price=3_500_001)
        make_plan(seeing, "gone", days=25, price=1_000_000, is_on_sale=False)
        reader = make_reader(seeing)
        tx = grid.transfer(OURS, 3_500_000)
        payment = sent(reader, tx)
        look(seeing)
        return seeing, reader, tx, payment

    def test_an_admin_takes_it_for_a_shorter_plan(self, short: Any) -> None:
        api, reader, tx, payment = short
        api.deliver()
        message = api.question(ADMIN, tx)
        assert "Missing: \u20661.50 USDT" in message.text
        assert [button["text"] for button in message.buttons][2:] == [
            "✅ Take it for Weekly, 7 days (2.00 USDT)"
        ]
        assert api.press(ADMIN, tx, "Take it for") == "Approved."
        found = payment_of(api.app, payment)
        assert (found.status, found.amount) == ("approved", 2_000_000)
        assert reader.status()["subscription"]["days_remaining"] == 7
        assert reader.get("/api/balance").get_json()["balance"] == "1.50"
        text = told(api.app, api.user_id(reader))[-1].text
        assert "taken for: Weekly, 7 days" in text
        assert "1.50 USDT" in text
        states = [invoice["status"] for invoice in reader.get("/api/invoices").get_json()]
        assert states == ["paid", "cancelled"]
        with at_work(api.app):
            assert prove().holds

    def test_or_in_the_panel(self, short: Any) -> None:
        api, reader, _tx, payment = short
        panel = Panel(api, api.staff().username)
        page = panel.get("/admin/desk/").text
        assert "Take it for Weekly" in page
        option = re.search(r'name="option" value="(\w+)"', page)
        assert option
        path = f"/admin/desk/{approval_of(api.app, payment).id}"
        assert "not offered any more" in panel.post(path, decision="approve", option="x").text
        panel.post(path, decision="approve", option=option[1])
        assert reader.status()["subscription"]["days_remaining"] == 7

    def test_or_for_the_whole_plan_and_the_book_says_what_came(self, short: Any) -> None:
        api, reader, tx, _payment = short
        assert api.press(ADMIN, tx, "Approve") == "Approved."
        assert reader.status()["subscription"]["days_remaining"] == 30
        with at_work(api.app):
            assert prove().holds
        kinds = {row.kind.value: row.amount for row in rows(api.app, Transfer)}
        assert kinds == {"sale": 3_500_000, "gift": 1_500_000}

    def test_refunded_it_gives_back_what_came_and_no_gift_of_ours(self, short: Any) -> None:
        api, reader, tx, payment = short
        api.press(ADMIN, tx, "Approve")
        Panel(api, api.staff().username).post(f"/admin/payments/refund/{payment}", reason="no")
        assert reader.get("/api/balance").get_json()["balance"] == "3.50"
        assert earned(api.app) == 0
        user_id = api.user_id(reader)
        with at_work(api.app):
            assert prove().holds
            assert withdrawable(user_id, "USDT") == 3_500_000

    def test_two_admins_must_mean_the_same(
        self, deployment: Deployment, bot: BotApiStandIn, grid: TronGridStandIn
    ) -> None:
        with reading(deployment, bot, grid, FOUR_EYES_ABOVE="1") as api:
            make_plan(api, "weekly", days=7, price=2_000_000)
            reader = make_reader(api)
            tx = grid.transfer(OURS, 3_500_000)
            payment = sent(reader, tx)
            look(api)
            approval = approval_of(api.app, payment).id
            with at_work(api.app), pytest.raises(OptionGone):
                desk.decide(approval, Decision.APPROVE, admin(1), option="x")
            first, second = ADMIN_IDS
            assert "Noted" in api.press(first, tx, "Take it for")
            assert "Take it for Weekly" in api.question(second, tx).text
            assert "approved something else" in api.press(second, tx, "Approve")
            assert not reader.status()["subscription"]["active"]
            assert api.press(second, tx, "Take it for") == "Approved."
            assert reader.status()["subscription"]["days_remaining"] == 7

    def test_what_is_dearer_by_now_is_not_taken(self, short: Any) -> None:
        api, reader, tx, _payment = short
        api.deliver()
        with at_work(api.app) as current:
            current.execute(update(Plan).where(Plan.code == "weekly").values(price=3_000_000))
        assert "not offered any more" in api.press(ADMIN, tx, "Take it for")
        assert not reader.status()["subscription"]["active"]

    def test_20_presses_at_once_take_it_once(self, short: Any) -> None:
        api, reader, _tx, payment = short
        approval = approval_of(api.app, payment).id
        with at_work(api.app), in_language("en"):
            option = PaymentSubject().look_at([str(payment)])[str(payment)]().option
        assert option

        def press(number: int) -> None:
            with suppress(DomainError), at_work(api.app):
                desk.decide(
                    approval, Decision.APPROVE, admin(number), option=(option.key, None)[number % 2]
                )

        at_once(20, press)
        assert reader.status()["subscription"]["days_remaining"] in (7, 30)
        paid = [one for one in reader.get("/api/invoices").get_json() if one["status"] == "paid"]
        assert len(paid) == 1
        with at_work(api.app):
            assert prove().holds

    def test_not_while_it_is_unconfirmed(self, seeing: Api, grid: TronGridStandIn) -> None:
        make_plan(seeing, "weekly", days=7, price=2_000_000)
        tx = grid.transfer(OURS, 3_500_000, solidified=False)
        sent(make_reader(seeing), tx)
        look(seeing)
        seeing.deliver()
        assert len(seeing.question(ADMIN, tx).buttons) == 2
