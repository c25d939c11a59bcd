"""Checkouts: the provider's word settles them, once, and only when every number is right."""

from __future__ import annotations

import json
import uuid
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import update

from manga_backend.kernel.backoffice.models import AuditEntry
from manga_backend.kernel.money.gateways import jobs as gateway_jobs
from manga_backend.kernel.money.gateways.domain import php_json, read_signed, signature
from manga_backend.kernel.money.gateways.models import Webhook
from manga_backend.kernel.money.ledger.queries import prove
from manga_backend.kernel.money.payments import jobs
from manga_backend.kernel.money.payments.models import Invoice, Payment
from manga_backend.kernel.money.payments.types import PaymentStatus
from manga_backend.kit import clock
from tests.kernel.backoffice.test_panel import Panel
from tests.kernel.factories import at_work, count, make_reader, rows
from tests.standins.cryptomus import CryptomusStandIn, signed_body
from tests.support import ADMIN_IDS, Api, Reader, at_once, counted_queries

HOOK = "/api/webhook/cryptomus"


def checkout(reader: Reader, **body: Any) -> dict[str, Any]:
    answer = reader.post("/payment/checkout", body)
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.get_json()
    return found


def order_of(found: dict[str, Any]) -> str:
    return uuid.UUID(found["payment_id"]).hex


def handle(api: Api) -> None:
    with api.app.app_context():
        gateway_jobs.handle_webhooks()


def status_of(reader: Reader) -> str:
    return str(reader.get("/api/payments").get_json()[0]["status"])


class TestCheckout:
    def test_gives_a_page_and_the_same_again(self, shop: tuple[Api, CryptomusStandIn]) -> None:
        api, provider = shop
        reader = make_reader(api)
        first, second = checkout(reader), checkout(reader, plan="monthly")
        assert first == second
        assert first["url"].startswith(provider.url)
        (path, body), *_ = provider.calls
        assert path == "/v1/payment"
        assert (body["amount"], body["currency"]) == ("5.00", "USDT")
        assert body["url_callback"] == f"https://api.manga.example{HOOK}"
        assert count(api.app, Payment) == 1

    def test_without_a_gateway_it_is_refused(self, api: Api) -> None:
        answer = make_reader(api).post("/payment/checkout", {})
        assert (answer.status_code, answer.get_json()["code"]) == (422, "gateway_off")

    @pytest.mark.parametrize(
        "fault", [{"status": 500}, {"garbage": True}, {"drop_connection": True}]
    )
    def test_a_provider_in_trouble_is_said_and_nothing_is_lost(
        self, shop: tuple[Api, CryptomusStandIn], fault: dict[str, Any]
    ) -> None:
        api, provider = shop
        reader = make_reader(api)
        provider.fail_next("/v1/payment", 2, **fault)
        answer = reader.post("/payment/checkout", {})
        assert (answer.status_code, answer.get_json()["code"]) == (503, "gateway_unavailable")
        provider.fail_next("/v1/payment", 0)
        order = rows(api.app, Payment)[0].id
        while reader.post("/payment/checkout", {}).status_code != 201:
            pass
        assert [payment.id for payment in rows(api.app, Payment)] == [order]

    def test_no_transaction_is_open_while_the_provider_is_asked(
        self, shop: tuple[Api, CryptomusStandIn]
    ) -> None:
        api, provider = shop
        reader = make_reader(api)
        provider.fail_next("/v1/payment", delay=0.3)
        with counted_queries(api.app):
            checkout(reader)


class TestWebhook:
    def test_paid_settles_it(self, shop: tuple[Api, CryptomusStandIn]) -> None:
        api, provider = shop
        reader = make_reader(api)
        order = order_of(checkout(reader))
        assert provider.pay(order) == [200]
        assert status_of(reader) == "pending"  # handled after the answer
        handle(api)
        assert status_of(reader) == "approved"
        assert reader.status()["subscription"]["days_remaining"] == 30
        with at_work(api.app):
            assert prove().holds

    def test_50_at_once_credit_once(self, shop: tuple[Api, CryptomusStandIn]) -> None:
        api, provider = shop
        reader = make_reader(api)
        order = order_of(checkout(reader))
        assert set(provider.pay(order, times=50, at_once=True)) == {200}
        at_once(4, lambda _: handle(api))
        assert reader.status()["subscription"]["days_remaining"] == 30
        (kept,) = rows(api.app, Webhook)
        assert kept.deliveries == 50
        with at_work(api.app):
            proof = prove()
        assert (proof.holds, proof.transfers) == (True, 1)

    def test_a_wrong_signature_is_refused_and_noted(
        self, shop: tuple[Api, CryptomusStandIn]
    ) -> None:
        api, provider = shop
        reader = make_reader(api)
        order = order_of(checkout(reader))
        assert provider.pay(order, sign="0" * 32, move=False) == [403]
        handle(api)
        assert status_of(reader) == "pending"
        assert count(api.app, Webhook) == 0
        assert count(api.app, AuditEntry, AuditEntry.action == "webhook.refused") == 1

    @pytest.mark.parametrize(
        "lie",
        [
            {"amount": "0.01"},
            {"amount": "5.01"},
            {"amount": "NaN"},
            {"amount": "1e400"},
            {"amount": "-5"},
            {"currency": "BTC"},
            {"order": "f" * 32},
            {"order": "nothing"},
        ],
        ids=str,
    )
    def test_a_wrong_number_credits_nothing(
        self, shop: tuple[Api, CryptomusStandIn], lie: dict[str, str]
    ) -> None:
        api, provider = shop
        reader = make_reader(api)
        order = order_of(checkout(reader))
        assert provider.pay(order, move=False, **lie) == [200]  # type: ignore[arg-type]
        handle(api)
        assert status_of(reader) == "pending"
        (kept,) = rows(api.app, Webhook)
        assert kept.handled_at is not None
        assert kept.outcome in (
            "no such order",
            "the amount or the currency is not the invoice's",
        )

    @pytest.mark.parametrize("status", ["check", "process", "confirm_check"])
    def test_what_is_under_way_moves_nothing(
        self, shop: tuple[Api, CryptomusStandIn], status: str
    ) -> None:
        api, provider = shop
        reader = make_reader(api)
        provider.pay(order_of(checkout(reader)), status=status)
        handle(api)
        assert status_of(reader) == "pending"

    @pytest.mark.parametrize("status", ["fail", "cancel", "system_fail"])
    def test_what_failed_is_closed(self, shop: tuple[Api, CryptomusStandIn], status: str) -> None:
        api, provider = shop
        reader = make_reader(api)
        provider.pay(order_of(checkout(reader)), status=status)
        handle(api)
        assert status_of(reader) == "expired"

    def test_too_little_is_put_before_an_admin(self, shop: tuple[Api, CryptomusStandIn]) -> None:
        api, provider = shop
        reader = make_reader(api)
        order = order_of(checkout(reader))
        provider.pay(order, status="wrong_amount", paid_amount="3.00")
        handle(api)
        handle(api)
        api.deliver()
        assert "less than the price" in api.question(ADMIN_IDS[0], reader.username).text
        assert status_of(reader) == "pending"

    @pytest.mark.parametrize("escaped", [True, False])
    def test_persian_text_and_slashes_are_signed_over(
        self, shop: tuple[Api, CryptomusStandIn], escaped: bool
    ) -> None:
        api, provider = shop
        provider.escape_unicode = escaped
        reader = make_reader(api)
        order = order_of(checkout(reader))
        assert provider.pay(order, extra={"additional_data": "سلام/دنیا"}) == [200]
        handle(api)
        assert status_of(reader) == "approved"

    @pytest.mark.parametrize(
        "body", [b"", b"{}", b"[]", b"x", b"\xff\xfe", b'{"sign": 5}', b"[" * 5000]
    )
    def test_garbage_is_refused(self, shop: tuple[Api, CryptomusStandIn], body: bytes) -> None:
        api, _provider = shop
        answer = api.client().post(HOOK, data=body, headers={"Content-Type": "application/json"})
        assert (answer.status_code, answer.get_json()["code"]) == (403, "signature_wrong")

    def test_one_of_another_key_after_a_change_is_not_believed(
        self, shop: tuple[Api, CryptomusStandIn]
    ) -> None:
        api, _provider = shop
        body = signed_body({"order_id": "x", "status": "paid"}, "another key")
        answer = api.client().post(HOOK, data=body, headers={"Content-Type": "application/json"})
        assert answer.status_code == 403


class TestKeeping:
    def test_one_that_breaks_holds_up_no_other(self, shop: tuple[Api, CryptomusStandIn]) -> None:
        api, provider = shop
        first, second = make_reader(api), make_reader(api)
        broken = order_of(checkout(first))
        provider.pay(broken)
        provider.pay(order_of(checkout(second)))
        with at_work(api.app) as current:  # its invoice is of a product that is not there any more
            lost = current.get_one(Payment, uuid.UUID(broken)).invoice_id
            current.execute(
                update(Invoice).where(Invoice.id == lost).values(fulfilment="no such product")
            )
        handle(api)
        assert status_of(second) == "approved"
        kept = {row.order_id: row.outcome for row in rows(api.app, Webhook)}
        assert kept[broken] == "it could not be handled: see the log"
        with at_work(api.app):
            assert prove().holds
            assert prove().transfers == 1

    def test_old_ones_are_forgotten(self, shop: tuple[Api, CryptomusStandIn]) -> None:
        api, provider = shop
        reader = make_reader(api)
        provider.pay(order_of(checkout(reader)))
        with api.app.app_context(), time_machine.travel(clock.now() + timedelta(days=200)):
            gateway_jobs.forget_old()
            assert count(api.app, Webhook) == 1  # not handled yet
            gateway_jobs.handle_webhooks()
            gateway_jobs.forget_old()
        assert count(api.app, Webhook) == 0
        assert status_of(reader) == "approved"


class TestPolling:
    def test_finds_what_no_webhook_told(self, shop: tuple[Api, CryptomusStandIn]) -> None:
        api, provider = shop
        reader = make_reader(api)
        order = order_of(checkout(reader))
        provider.withhold = True
        assert provider.pay(order) == []
        with api.app.app_context():
            jobs.poll_checkouts()
        assert status_of(reader) == "pending"  # not its time yet
        with time_machine.travel(clock.now() + timedelta(minutes=3)), api.app.app_context():
            jobs.poll_checkouts()
            jobs.poll_checkouts()
        assert status_of(reader) == "approved"

    def test_webhook_and_polling_at_once_credit_once(
        self, shop: tuple[Api, CryptomusStandIn]
    ) -> None:
        api, provider = shop
        reader = make_reader(api)
        order = order_of(checkout(reader))
        provider.pay(order)

        def both(number: int) -> None:
            with api.app.app_context():
                if number % 2:
                    gateway_jobs.handle_webhooks()
                else:
                    jobs.poll_checkouts()

        with time_machine.travel(clock.now() + timedelta(minutes=3)):
            at_once(6, both)
        assert rows(api.app, Payment)[0].status is PaymentStatus.APPROVED
        with at_work(api.app):
            assert prove().transfers == 1


class TestReplay:
    def test_an_admin_may_run_one_again(self, shop: tuple[Api, CryptomusStandIn]) -> None:
        api, provider = shop
        reader = make_reader(api)
        provider.pay(order_of(checkout(reader)))
        handle(api)
        (kept,) = rows(api.app, Webhook)
        panel = Panel(api, api.staff().username)
        assert (
            order_of({"payment_id": str(rows(api.app, Payment)[0].id)})
            in panel.get("/admin/webhooks/").text
        )
        panel.post(f"/admin/webhooks/replay/{kept.id}")
        assert rows(api.app, Webhook)[0].handled_at is None
        handle(api)
        assert rows(api.app, Webhook)[0].outcome == "nothing to do: approved"
        assert reader.status()["subscription"]["days_remaining"] == 30


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


class TestSignature:
    @given(st.dictionaries(st.text(min_size=1).filter(lambda key: key != "sign"), JSON))
    def test_what_we_sign_we_read(self, fields: dict[str, Any]) -> None:
        try:
            php_json(fields).encode()
        except UnicodeEncodeError:
            return  # a lone surrogate: no such text comes over HTTP
        sign = signature(php_json(fields).encode(), "k")
        body = json.dumps({**fields, "sign": sign}, ensure_ascii=False).encode()
        assert read_signed(body, "k") == fields
        assert read_signed(body, "other") is None

    def test_numbers_keep_their_digits(self) -> None:
        body = b'{"amount":0.10,"big":1e5,"sign":"%s"}'
        right = signature(b'{"amount":0.10,"big":1e5}', "k").encode()
        assert read_signed(body % right, "k") is not None

    @given(st.binary(max_size=300))
    def test_any_bytes_are_answered(self, body: bytes) -> None:
        assert read_signed(body, "k") is None
