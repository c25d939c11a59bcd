"""Refunds: the price goes into the wallet, what was bought is taken back, once."""

from __future__ import annotations

import uuid
from contextlib import suppress

import pytest

from manga_backend.kernel.approvals.types import Decision
from manga_backend.kernel.backoffice.types import CLI
from manga_backend.kernel.money.ledger.queries import find_wallet, prove
from manga_backend.kernel.money.payments.errors import NotRefundable, PaymentNotFound
from manga_backend.kernel.money.payments.models import Invoice
from manga_backend.kernel.money.payments.service.refunds import refund
from manga_backend.kernel.money.payments.types import InvoiceStatus
from manga_backend.kit.app import App
from tests.kernel.backoffice.test_panel import Panel
from tests.kernel.factories import (
    at_work,
    decide,
    earned,
    make_coupon,
    make_reader,
    make_user,
    rows,
    submit,
    told,
)
from tests.support import Api, Reader, at_once

PRICE = 5_000_000


def bought(app: App, user_id: int) -> uuid.UUID:
    payment = submit(app, user_id)
    decide(app, payment, Decision.APPROVE)
    return payment


def give_back(app: App, payment: uuid.UUID) -> None:
    with at_work(app):
        refund(payment, CLI, "does not read")


class TestRefund:
    def test_gives_the_money_and_takes_the_days(self, api: Api) -> None:
        reader = make_reader(api)
        user = api.user_id(reader)
        payment = bought(api.app, user)
        assert reader.status()["subscription"]["active"]
        assert earned(api.app) == PRICE
        give_back(api.app, payment)
        assert earned(api.app) == 0
        assert not reader.status()["subscription"]["active"]
        assert reader.get("/api/balance").get_json()["balance"] == "5.00"
        assert rows(api.app, Invoice)[0].status is InvoiceStatus.REFUNDED
        assert told(api.app, user)[-1].kind == "payment_refunded"
        assert "does not read" in told(api.app, user)[-1].text
        with at_work(api.app):
            assert prove().holds

    def test_once(self, app: App) -> None:
        user = make_user(app)
        payment = bought(app, user)
        give_back(app, payment)
        with pytest.raises(NotRefundable):
            give_back(app, payment)
        with at_work(app):
            assert find_wallet(user, "USDT").balance == PRICE

    def test_20_at_once_give_once(self, pg_app: App) -> None:
        user = make_user(pg_app)
        payment = bought(pg_app, user)

        def press(_number: int) -> bool:
            with suppress(NotRefundable):
                give_back(pg_app, payment)
                return True
            return False

        assert sum(at_once(20, press)) == 1
        with at_work(pg_app):
            assert find_wallet(user, "USDT").balance == PRICE
            assert prove().holds

    def test_what_is_not_paid_is_refused(self, app: App) -> None:
        payment = submit(app, make_user(app))
        with pytest.raises(NotRefundable):
            give_back(app, payment)
        with pytest.raises(PaymentNotFound):
            give_back(app, uuid.uuid4())

    def test_what_cost_nothing_is_refused(self, api: Api) -> None:
        reader = make_reader(api)
        reader.post("/payment/submit", {"coupon_code": make_coupon(api.app)})
        payment = uuid.UUID(reader.get("/api/payments").get_json()[0]["id"])
        with pytest.raises(NotRefundable):
            give_back(api.app, payment)
        assert reader.status()["subscription"]["active"]


class TestPanel:
    def test_with_a_reason_and_the_right(self, api: Api) -> None:
        reader = make_reader(api)
        payment = bought(api.app, api.user_id(reader))
        path = f"/admin/payments/refund/{payment}"
        panel = Panel(api, api.staff().username)
        page = panel.get(f"/admin/payments/details/?id={payment}").text
        assert "Refund into the wallet" in page
        panel.post(path, reason="")
        assert reader.get("/api/balance").get_json()["balance"] == "0.00"
        panel.post(path, reason="asked for it")
        assert reader.get("/api/balance").get_json()["balance"] == "5.00"


class TestReceipt:
    def paid(self, api: Api) -> tuple[Reader, str]:
        reader = make_reader(api)
        bought(api.app, api.user_id(reader))
        (invoice,) = reader.get("/api/invoices").get_json()
        return reader, invoice["id"]

    def test_says_what_was_owed_and_how_it_was_paid(self, api: Api) -> None:
        reader, invoice = self.paid(api)
        found = reader.get(f"/api/invoices/{invoice}/receipt").get_json()
        assert (found["invoice"]["status"], found["invoice"]["amount"]) == ("paid", "5.00")
        assert (found["payment"]["method"], found["payment"]["status"]) == ("crypto", "approved")

    def test_is_nobody_elses(self, api: Api) -> None:
        _reader, invoice = self.paid(api)
        answer = make_reader(api).get(f"/api/invoices/{invoice}/receipt")
        assert answer.get_json()["code"] == "invoice_not_found"

    def test_of_what_is_not_paid_has_no_payment(self, api: Api) -> None:
        reader = make_reader(api)
        submit(api.app, api.user_id(reader))
        (invoice,) = reader.get("/api/invoices").get_json()
        found = reader.get(f"/api/invoices/{invoice['id']}/receipt").get_json()
        assert (found["invoice"]["status"], found["payment"]) == ("open", None)
