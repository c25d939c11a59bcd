"""Telegram Stars: asked, paid, paid twice, paid too late, given back."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import time_machine
from sqlalchemy import select, update

from manga_backend.kernel.backoffice.types import CLI
from manga_backend.kernel.identity.types import Role
from manga_backend.kernel.money.ledger.errors import NotEnoughMoney
from manga_backend.kernel.money.ledger.queries import prove
from manga_backend.kernel.money.ledger.service import correct
from manga_backend.kernel.money.payments import jobs
from manga_backend.kernel.money.payments.errors import NotRefundable
from manga_backend.kernel.money.payments.models import Invoice, Payment, StarsRefund
from manga_backend.kernel.money.payments.service.refunds import refund
from manga_backend.kernel.money.payments.service.stars import (
    StarsInvoices,
    request_again,
    request_refund,
)
from manga_backend.kernel.money.payments.types import InvoiceStatus, PaymentStatus
from manga_backend.kernel.telegram.clients import BotClient
from manga_backend.kernel.telegram.errors import UnknownInvoice
from manga_backend.kernel.telegram.models import TelegramUpdate
from manga_backend.kernel.telegram.settings import TelegramSettings
from manga_backend.kernel.telegram.types import Purchase, Sender
from manga_backend.kit import clock
from manga_backend.kit.settings import settings
from tests.kernel.backoffice.test_panel import Panel
from tests.kernel.factories import at_work, rows
from tests.products.urgent.factories import Person, deliver, person
from tests.support import ADMIN_IDS, Api, at_once


def link(executor: Person, amount: int = 120) -> str:
    answer = executor.post("/api/balance/recharge", {"amount": amount, "method": "telegram_stars"})
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.get_json()
    assert (found["status"], found["price_currency"]) == ("open", "XTR")
    return str(found["url"])


def pay(api: Api, url: str, payer: int) -> str:
    """Press Pay, let the bot answer, and let it hear that the money came."""
    query = api.bot.pay(payer, url)
    hear(api)
    return api.bot.checkout_outcome(query)


def hear(api: Api) -> None:
    """All that happened on Telegram, and what followed from the answers."""
    while api.bot.pending_updates():
        api.poll()


def paid(api: Api) -> tuple[Person, Payment]:
    executor = person(api)
    api.poll()  # so that the bot has said which updates it wants
    assert pay(api, link(executor), executor.telegram_id) == "paid"
    (payment,) = rows(api.app, Payment)
    return executor, payment


def refunds(api: Api) -> list[StarsRefund]:
    with at_work(api.app) as current:
        return list(current.scalars(select(StarsRefund)))


def holds(api: Api) -> bool:
    with at_work(api.app):
        return prove().holds


class TestPaying:
    def test_fills_the_wallet_once(self, api: Api) -> None:
        executor, payment = paid(api)
        assert executor.balance == 120
        assert (payment.amount, payment.currency) == (100, "XTR")
        assert payment.status is PaymentStatus.APPROVED
        (moved,) = executor.get("/api/balance/transactions").get_json()
        assert (moved["type"], moved["amount"], moved["balance_after"]) == ("recharge", 120, 120)
        assert holds(api)
        api.deliver()
        told = api.bot.wait_for_message(executor.telegram_id, contains="120.00 RUB", timeout=30)
        assert told.from_bot

    def test_the_same_question_gives_the_same_invoice(self, api: Api) -> None:
        executor = person(api)
        link(executor)
        link(executor)
        link(executor, amount=121)
        assert [payment.amount for payment in rows(api.app, Payment)] == [100, 101]

    def test_an_update_that_comes_twice_credits_once(self, api: Api) -> None:
        executor, _ = paid(api)
        with at_work(api.app) as current:
            current.execute(update(TelegramUpdate).values(handled_at=None))
        api.poll()
        assert executor.balance == 120

    def test_whoever_pays_second_gets_the_stars_back(self, api: Api) -> None:
        executor = person(api)
        api.poll()
        url = link(executor)
        first = api.bot.pay(executor.telegram_id, url)
        second = api.bot.pay(executor.telegram_id + 1, url)
        hear(api)  # both may pay: nothing has come yet
        assert api.bot.checkout_outcome(first) == api.bot.checkout_outcome(second) == "paid"
        with api.app.app_context():
            jobs.refund_stars()
            jobs.refund_stars()
        assert executor.balance == 120
        assert [api.bot.is_given_back(one) for one in (first, second)] == [False, True]
        assert holds(api)

    def test_a_paid_or_unknown_or_old_invoice_can_not_be_paid(self, api: Api) -> None:
        executor, _ = paid(api)
        again = link(executor)
        with time_machine.travel(clock.now() + timedelta(minutes=61)):
            assert pay(api, again, executor.telegram_id).startswith("Этот счёт")
            with api.app.app_context():
                jobs.expire()
        states = sorted(payment.status.value for payment in rows(api.app, Payment))
        assert states == ["approved", "expired"]
        assert executor.balance == 120

    def test_whoever_was_let_pay_is_not_closed_meanwhile(self, api: Api) -> None:
        executor = person(api)
        api.poll()
        url = link(executor)
        with time_machine.travel(clock.now() + timedelta(minutes=59)):
            query = api.bot.pay(executor.telegram_id, url)
            api.poll()
        with time_machine.travel(clock.now() + timedelta(minutes=62)):
            with api.app.app_context():
                jobs.expire()
            hear(api)
        assert api.bot.checkout_outcome(query) == "paid"
        assert executor.balance == 120


def test_money_for_what_nobody_knows_is_a_fault_that_says_all(api: Api) -> None:
    with api.app.app_context():
        link = BotClient(settings(TelegramSettings)).create_stars_link("x", "x", "stars:zz", 5)
    api.poll()
    query = api.bot.pay(700_777, link)
    hear(api)
    assert api.bot.checkout_outcome(query)  # refused: but a bot may have said yes before
    with at_work(api.app):
        sender = Sender(700_777, "en")
        with pytest.raises(UnknownInvoice, match=r"charge-1.*700777.*stars:zz"):
            StarsInvoices().paid(Purchase(sender, "stars:zz", 5, "XTR", "charge-1"))


class TestWayBack:
    def test_reserves_then_takes_and_gives_the_stars_back_once(self, api: Api) -> None:
        executor, payment = paid(api)
        with at_work(api.app):
            refund(payment.id, CLI, "by mistake")
        assert executor.balance == 0
        with at_work(api.app), pytest.raises(NotRefundable):
            request_refund(payment.id, CLI, "again")
        with api.app.app_context():
            jobs.refund_stars()
            jobs.refund_stars()
        (invoice,) = rows(api.app, Invoice)
        assert invoice.status is InvoiceStatus.REFUNDED
        assert [row["amount"] for row in executor.get("/api/balance/transactions").get_json()] == [
            -120,
            120,
        ]
        assert holds(api)

    def test_the_panel_says_how_it_stands(self, api: Api) -> None:
        _, payment = paid(api)
        panel = Panel(api, api.staff(Role.SUPERUSER).username)
        page = f"/admin/payments/details/?id={payment.id}"
        assert "Give the Stars back" in panel.get(page).text
        panel.post(f"/admin/payments/refund/{payment.id}", reason="by mistake")
        shown = panel.get(page).text
        assert "Telegram is being asked" in shown
        assert "Give the Stars back" not in shown
        with api.app.app_context():
            jobs.refund_stars()
        assert "Given back on" in panel.get(page).text

    def test_asked_at_once_it_goes_back_once(self, api: Api) -> None:
        executor, payment = paid(api)

        def ask(_: int) -> str:
            try:
                with at_work(api.app):
                    request_refund(payment.id, CLI, "by mistake")
            except NotRefundable:
                return "no"
            return "yes"

        assert sorted(at_once(8, ask)) == ["no"] * 7 + ["yes"]
        assert executor.balance == 0
        assert holds(api)

    def test_what_is_spent_is_not_given_back(self, api: Api) -> None:
        executor, payment = paid(api)
        with at_work(api.app):
            correct(executor.user_id, -1, "RUB", key="spent", note="spent", actor=CLI)
        with at_work(api.app), pytest.raises(NotEnoughMoney):
            request_refund(payment.id, CLI, "by mistake")
        assert refunds(api) == []

    def test_a_refusal_frees_the_money_and_silence_is_tried_again(self, api: Api) -> None:
        executor, payment = paid(api)
        with at_work(api.app):
            request_refund(payment.id, CLI, "by mistake")
        api.bot.fail_next("refundStarPayment", status=500, description="oops")
        with api.app.app_context():
            jobs.refund_stars()
        (row,) = refunds(api)
        assert row.settled_at is None
        assert row.problem
        api.bot.fail_next("refundStarPayment", status=400, description="CHARGE_NOT_FOUND")
        with time_machine.travel(clock.now() + timedelta(minutes=5)), api.app.app_context():
            jobs.refund_stars()
        (row,) = refunds(api)
        assert row.settled_at is not None
        assert executor.balance == 120
        deliver(api)
        assert "CHARGE_NOT_FOUND" in api.question(ADMIN_IDS[0], str(payment.id)).text
        with at_work(api.app), pytest.raises(NotRefundable):
            request_again(payment.id, "of-another", CLI)
        panel = Panel(api, api.staff(Role.SUPERUSER).username)
        page = f"/admin/payments/details/?id={payment.id}"
        assert "Ask again" in panel.get(page).text
        assert "Give the Stars back" not in panel.get(page).text
        again = f"/admin/payments/ask-again/{payment.id}"
        panel.post(again, charge_id=row.charge_id)
        assert executor.balance == 0
        panel.post(again, charge_id=row.charge_id)  # pressed twice
        assert executor.balance == 0
        assert "Ask again" not in panel.get(page).text
        with api.app.app_context():
            jobs.refund_stars()
        (row,) = refunds(api)
        assert (row.times, row.problem) == (2, None)
        (invoice,) = rows(api.app, Invoice)
        assert invoice.status is InvoiceStatus.REFUNDED
        assert holds(api)

    def test_what_telegram_gave_back_already_is_done(self, api: Api) -> None:
        executor, payment = paid(api)
        with at_work(api.app):
            request_refund(payment.id, CLI, "by mistake")
        api.bot.fail_next("refundStarPayment", status=200, drop_connection=True)
        with api.app.app_context():
            jobs.refund_stars()
        with time_machine.travel(clock.now() + timedelta(minutes=5)), api.app.app_context():
            jobs.refund_stars()
        (row,) = refunds(api)
        assert (row.settled_at is not None, row.problem) == (True, None)
        assert executor.balance == 0
