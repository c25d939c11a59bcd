"""The caller's own payments."""

from __future__ import annotations

import json
import uuid

import pytest
from sqlalchemy import insert

from manga_backend.kernel.approvals.types import Decision
from manga_backend.kernel.money.chains.types import Network
from manga_backend.kernel.money.payments.models import Invoice, Payment
from manga_backend.kernel.money.payments.types import InvoiceStatus, Method, PaymentStatus
from manga_backend.kit import clock
from manga_backend.kit.app import App
from manga_backend.kit.db import new_id
from tests.kernel.factories import (
    PLAN,
    PRODUCT,
    at_work,
    decide,
    make_coupon,
    make_reader,
    make_user,
    submit,
)
from tests.support import Api, counted_queries, new_hash


def make_payments(app: App, user_id: int, count: int) -> list[str]:
    """Rejected ones, oldest first; more than may wait at once."""
    now = clock.now()
    ids = [(new_id(), new_id()) for _ in range(count)]
    with at_work(app) as current:
        current.execute(
            insert(Invoice),
            [
                {
                    "id": invoice,
                    "user_id": user_id,
                    "product": PRODUCT,
                    "item_code": PLAN,
                    "item": {"days": 30},
                    "title": "x",
                    "fulfilment": "memberships.days",
                    "amount": 5_000_000,
                    "currency": "USDT",
                    "status": InvoiceStatus.CANCELLED,
                    "created_at": now,
                }
                for invoice, _ in ids
            ],
        )
        current.execute(
            insert(Payment),
            [
                {
                    "id": payment,
                    "invoice_id": invoice,
                    "user_id": user_id,
                    "method": Method.CRYPTO,
                    "status": PaymentStatus.REJECTED,
                    "amount": 5_000_000,
                    "currency": "USDT",
                    "network": Network.TRON,
                    "tx_hash": new_hash(),
                    "submitted_at": now,
                    "decided_at": now,
                    "decided_by": "cli",
                    "decided_by_label": "cli",
                }
                for invoice, payment in ids
            ],
        )
    return [str(payment) for _, payment in ids]


class TestList:
    def test_shows_what_two_manga_promises(self, api: Api) -> None:
        reader, tx_hash = make_reader(api), new_hash()
        reader.submit(f"0x{tx_hash}", network="bsc")
        (payment,) = reader.get("/api/payments").get_json()
        assert uuid.UUID(payment.pop("id"))
        assert payment.pop("submitted_at").endswith("Z")
        assert payment == {
            "method": "crypto",
            "status": "pending",
            "plan": "monthly",
            "amount": "5.00",
            "currency": "USDT",
            "network": "bsc",
            "tx_hash": f"0x{tx_hash}",
            "verification": {"verdict": "unchecked"},
            "reason": None,
            "decided_at": None,
        }

    def test_a_coupon_has_neither_network_nor_hash(self, api: Api) -> None:
        reader = make_reader(api)
        reader.post("/payment/submit", {"coupon_code": make_coupon(api.app)})
        (payment,) = reader.get("/api/payments").get_json()
        assert (payment["method"], payment["status"]) == ("coupon", "approved")
        assert payment["network"] is payment["tx_hash"] is None
        assert payment["amount"] == "0.00"

    def test_is_newest_first_with_a_paging_header(self, api: Api) -> None:
        reader = make_reader(api)
        made = make_payments(api.app, api.user_id(reader), 45)
        pages = [reader.get(f"/api/payments?page={page}") for page in (1, 2, 3)]
        seen = [payment["id"] for answer in pages for payment in answer.get_json()]
        assert seen == made[::-1]
        header = json.loads(pages[1].headers["X-Pagination"])
        assert (header["total"], header["total_pages"]) == (45, 3)
        assert (header["page"], header["next_page"], header["previous_page"]) == (2, 3, 1)

    def test_the_size_of_a_page_is_the_callers_up_to_100(self, api: Api) -> None:
        reader = make_reader(api)
        make_payments(api.app, api.user_id(reader), 12)
        assert len(reader.get("/api/payments?page_size=5").get_json()) == 5
        assert len(reader.get("/api/payments?page_size=100").get_json()) == 12
        assert reader.get("/api/payments?page_size=101").status_code == 400
        assert reader.get("/api/payments?page=0").status_code == 400

    def test_nobody_sees_anothers(self, api: Api) -> None:
        make_payments(api.app, make_user(api.app), 2)
        answer = make_reader(api).get("/api/payments")
        assert answer.get_json() == []
        assert json.loads(answer.headers["X-Pagination"])["total"] == 0

    def test_30_payments_cost_as_many_queries_as_one(self, api: Api) -> None:
        one, many = make_reader(api), make_reader(api)
        make_payments(api.app, api.user_id(one), 1)
        make_payments(api.app, api.user_id(many), 30)
        costs = []
        for reader, expected in ((one, 1), (many, 30)):
            with counted_queries(api.app) as statements:
                answer = reader.get("/api/payments?page_size=100")
            assert len(answer.get_json()) == expected
            costs.append(
                [s for s in statements if s.lstrip().upper().startswith(("SELECT", "EXECUTE"))]
            )
        assert len(costs[0]) == len(costs[1]) == 3  # session, count, page


class TestOne:
    def test_shows_when_and_why_it_was_decided(self, api: Api) -> None:
        reader = make_reader(api)
        payment = submit(api.app, api.user_id(reader))
        decide(api.app, payment, Decision.REJECT, reason="not found")
        body = reader.get(f"/api/payments/{payment}").get_json()
        assert (body["id"], body["status"]) == (str(payment), "rejected")
        assert body["reason"] == "not found"
        assert body["decided_at"].endswith("Z")

    def test_anothers_is_not_found(self, api: Api) -> None:
        payment = submit(api.app, make_user(api.app))
        answer = make_reader(api).get(f"/api/payments/{payment}")
        assert (answer.status_code, answer.get_json()["code"]) == (404, "payment_not_found")

    @pytest.mark.parametrize("name", ["0199aaaa-0000-7000-8000-000000000001", "1", "nonsense"])
    def test_an_unknown_one_is_not_found(self, api: Api, name: str) -> None:
        assert make_reader(api).get(f"/api/payments/{name}").status_code == 404

    def test_without_a_token_is_401(self, api: Api) -> None:
        payment = submit(api.app, make_user(api.app))
        assert api.client().get(f"/api/payments/{payment}").status_code == 401
        assert api.client().get("/api/payments").status_code == 401
