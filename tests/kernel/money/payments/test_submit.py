"""A transaction hash is claimed as payment: checked by shape, used once, asked about once."""

from __future__ import annotations

import base64
from collections import Counter
from typing import Any

import pytest

from manga_backend.kernel.approvals.models import Approval
from manga_backend.kernel.approvals.types import Decision
from manga_backend.kernel.money.chains.types import Network
from manga_backend.kernel.money.payments.errors import TooManyPending, TransactionAlreadyUsed
from manga_backend.kernel.money.payments.models import (
    Invoice,
    InvoiceHistory,
    Payment,
    PaymentHistory,
)
from manga_backend.kernel.money.payments.types import InvoiceStatus, Method, PaymentStatus
from manga_backend.kernel.notifications.models import Notification
from manga_backend.kit.problems import InvalidInput
from tests.kernel.factories import (
    count,
    decide,
    make_coupon,
    make_reader,
    make_readers,
    make_user,
    payment_of,
    rows,
    submit,
)
from tests.support import ADMIN_IDS, Api, at_once, new_hash

HEX = "ab" * 32


def refused(answer: Any, status: int, code: str) -> dict[str, Any]:
    """The body of a refusal, after a look at its status and word."""
    body: dict[str, Any] = answer.get_json()
    assert (answer.status_code, body["code"]) == (status, code)
    return body


class TestBody:
    def test_neither_hash_nor_coupon_is_400(self, api: Api) -> None:
        answer = make_reader(api).post("/payment/submit", {})
        assert "tx_hash" in refused(answer, 400, "invalid_input")["errors"]

    def test_both_are_400_and_nothing_is_used(self, api: Api) -> None:
        code, reader = make_coupon(api.app), make_reader(api)
        answer = reader.post("/payment/submit", {"tx_hash": HEX, "coupon_code": code})
        refused(answer, 400, "invalid_input")
        assert count(api.app, Payment) == 0
        assert reader.post("/payment/submit", {"coupon_code": code}).status_code == 200

    @pytest.mark.parametrize("more", [{"network": "tron"}, {"plan": "monthly"}])
    def test_a_coupon_goes_with_nothing_else(self, api: Api, more: dict[str, str]) -> None:
        answer = make_reader(api).post("/payment/submit", {"coupon_code": "x" * 14, **more})
        refused(answer, 400, "invalid_input")

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("plan", "weekly"),
            ("plan", ""),
            ("plan", 1),
            ("network", "dogecoin"),
            ("network", "TRON"),
            ("network", None),
            ("surprise", "x"),
        ],
    )
    def test_an_unknown_plan_network_or_field_is_400(
        self, api: Api, field: str, value: Any
    ) -> None:
        answer = make_reader(api).submit(new_hash(), **{field: value})
        assert field in refused(answer, 400, "invalid_input")["errors"]
        assert count(api.app, Payment) == 0

    @pytest.mark.parametrize("network", ["ethereum", "bsc", "polygon"])
    def test_a_hash_of_another_networks_shape_is_400(self, api: Api, network: str) -> None:
        answer = make_reader(api).submit(HEX, network=network)
        assert "tx_hash" in refused(answer, 400, "invalid_input")["errors"]

    @pytest.mark.parametrize("typed", [f"0x{HEX}", HEX[:-1], "", 12, None, "x" * 129])
    def test_a_hash_of_no_shape_is_400(self, api: Api, typed: Any) -> None:
        answer = make_reader(api).post("/payment/submit", {"tx_hash": typed})
        assert "tx_hash" in refused(answer, 400, "invalid_input")["errors"]

    def test_a_wrong_shape_comes_before_a_used_hash(self, api: Api) -> None:
        reader = make_reader(api)
        assert reader.submit(HEX).status_code == 202
        refused(reader.submit(HEX, network="bsc"), 400, "invalid_input")

    def test_without_a_token_is_401(self, api: Api) -> None:
        assert api.post("/payment/submit", {"tx_hash": HEX}).status_code == 401


class TestAccepted:
    def test_waits_for_an_admin(self, api: Api) -> None:
        reader = make_reader(api)
        answer = reader.submit(HEX)
        assert answer.status_code == 202
        body = answer.get_json()
        assert set(body) == {"payment_id", "status", "verification"}
        assert (body["status"], body["verification"]) == ("pending", {"verdict": "unchecked"})
        status = reader.status()
        assert (status["pending_payments"], status["purchases_count"]) == (1, 0)
        assert status["subscription"]["active"] is False

    def test_is_of_the_default_network_and_plan(self, api: Api) -> None:
        make_reader(api).submit(HEX)
        (payment,) = rows(api.app, Payment)
        (invoice,) = rows(api.app, Invoice)
        assert (payment.network, payment.tx_hash) == (Network.TRON, HEX)
        assert (payment.method, payment.status) == (Method.CRYPTO, PaymentStatus.PENDING)
        assert (invoice.item_code, invoice.status) == ("monthly", InvoiceStatus.OPEN)
        assert (invoice.amount, invoice.currency) == (payment.amount, payment.currency)
        assert (invoice.amount, invoice.currency) == (5_000_000, "USDT")

    def test_leaves_the_first_row_of_both_histories(self, api: Api) -> None:
        make_reader(api).submit(HEX)
        (step,) = rows(api.app, PaymentHistory)
        assert (step.from_status, step.to_status) == (None, "pending")
        (opened,) = rows(api.app, InvoiceHistory)
        assert (opened.from_status, opened.to_status) == (None, "open")
        assert step.actor == opened.actor != ""

    @pytest.mark.parametrize(
        ("network", "typed"),
        [
            ("tron", HEX.upper()),
            ("ethereum", f"0X{HEX}"),
            ("bsc", f"0x{HEX.upper()}"),
            ("polygon", f" 0x{HEX} "),
            ("ton", base64.urlsafe_b64encode(bytes.fromhex(HEX)).decode()),
            ("bitcoin", HEX),
        ],
    )
    def test_is_stored_in_one_form_on_every_network(
        self, api: Api, network: str, typed: str
    ) -> None:
        assert make_reader(api).submit(typed, network=network).status_code == 202
        (payment,) = rows(api.app, Payment)
        assert (payment.network.value, payment.tx_hash) == (network, HEX)

    def test_asks_every_admin_once(self, api: Api) -> None:
        make_reader(api).submit(HEX)
        asked = rows(api.app, Notification, Notification.kind == "approval")
        assert sorted(row.chat_id for row in asked) == sorted(ADMIN_IDS)
        assert count(api.app, Approval) == 1


class TestUsedHash:
    @pytest.mark.parametrize(
        ("network", "typed"),
        [
            ("tron", HEX),
            ("tron", HEX.upper()),
            ("ethereum", f"0x{HEX}"),
            ("bsc", f"0X{HEX.upper()}"),
            ("ton", base64.b64encode(bytes.fromhex(HEX)).decode()),
            ("bitcoin", f" {HEX}"),
        ],
    )
    @pytest.mark.parametrize("state", ["pending", "approved"])
    def test_is_refused_in_any_case_on_any_network_to_anyone(
        self, api: Api, network: str, typed: str, state: str
    ) -> None:
        first = make_reader(api)
        payment = submit(api.app, api.user_id(first), HEX)
        if state == "approved":
            decide(api.app, payment, Decision.APPROVE)
        for reader in (first, make_reader(api)):
            answer = reader.submit(typed, network=network)
            refused(answer, 409, "transaction_already_used")
        assert count(api.app, Payment) == count(api.app, Approval) == 1

    def test_may_be_sent_by_another_after_rejection(self, api: Api) -> None:
        decide(api.app, submit(api.app, make_user(api.app), HEX), Decision.REJECT)
        reader = make_reader(api)
        assert reader.submit(HEX).status_code == 202
        refused(make_reader(api).submit(HEX), 409, "transaction_already_used")

    def test_may_be_sent_again_three_times_by_the_same_user(self, api: Api) -> None:
        reader = make_reader(api)
        for _ in range(4):  # once, and three times again
            answer = reader.submit(HEX)
            assert answer.status_code == 202
            payment = rows(api.app, Payment)[-1]
            decide(api.app, payment.id, Decision.REJECT)
        refused(reader.submit(HEX), 409, "transaction_already_used")
        assert make_reader(api).submit(HEX).status_code == 202

    def test_an_approval_after_a_rejection_takes_it_for_good(self, api: Api) -> None:
        app = api.app
        decide(app, submit(app, make_user(app), HEX), Decision.REJECT)
        decide(app, submit(app, make_user(app), HEX), Decision.APPROVE)
        with pytest.raises(TransactionAlreadyUsed):
            submit(app, make_user(app), HEX)


class TestTooManyPending:
    def test_three_may_wait_and_no_fourth(self, api: Api) -> None:
        reader = make_reader(api)
        for _ in range(3):
            assert reader.submit().status_code == 202
        refused(reader.submit(), 409, "too_many_pending")
        assert make_reader(api).submit().status_code == 202

    @pytest.mark.parametrize("decision", list(Decision))
    def test_a_decision_makes_room(self, api: Api, decision: Decision) -> None:
        user_id = make_user(api.app)
        first, *_ = [submit(api.app, user_id) for _ in range(3)]
        with pytest.raises(TooManyPending):
            submit(api.app, user_id)
        decide(api.app, first, decision)
        assert payment_of(api.app, submit(api.app, user_id)).status is PaymentStatus.PENDING

    def test_a_coupon_is_not_held_up_by_it(self, api: Api) -> None:
        reader = make_reader(api)
        for _ in range(3):
            reader.submit()
        code = make_coupon(api.app)
        assert reader.post("/payment/submit", {"coupon_code": code}).status_code == 200

    def test_a_used_hash_is_named_first(self, api: Api) -> None:
        user_id, tx_hash = make_user(api.app), new_hash()
        for sent in (tx_hash, None, None):
            submit(api.app, user_id, sent)
        with pytest.raises(TransactionAlreadyUsed):
            submit(api.app, user_id, tx_hash)

    def test_20_different_hashes_at_once_leave_three(self, pg_api: Api) -> None:
        reader = make_reader(pg_api)
        answers = at_once(20, lambda _: reader.submit())
        assert Counter(a.status_code for a in answers) == {202: 3, 409: 17}
        words = {a.get_json()["code"] for a in answers if a.status_code == 409}
        assert words == {"too_many_pending"}
        assert reader.status()["pending_payments"] == 3


class TestOneHashAtOnce:
    def left_one(self, api: Api, answers: list[Any]) -> None:
        """One payment waits, with one question to each admin; all others heard why not."""
        assert Counter(a.status_code for a in answers) == {202: 1, 409: len(answers) - 1}
        words = {a.get_json()["code"] for a in answers if a.status_code == 409}
        assert words == {"transaction_already_used"}
        assert count(api.app, Payment) == count(api.app, Invoice) == 1
        assert count(api.app, PaymentHistory) == count(api.app, InvoiceHistory) == 1
        assert count(api.app, Approval) == 1
        assert count(api.app, Notification) == len(ADMIN_IDS)

    def test_20_users_leave_one_payment_and_one_question(self, pg_api: Api) -> None:
        readers, tx_hash = make_readers(pg_api, 20), new_hash()
        self.left_one(pg_api, at_once(20, lambda n: readers[n].submit(tx_hash)))

    def test_20_threads_of_one_user_leave_one(self, pg_api: Api) -> None:
        reader, tx_hash = make_reader(pg_api), new_hash()
        self.left_one(pg_api, at_once(20, lambda _: reader.submit(tx_hash)))

    def test_in_every_spelling_and_network_at_once(self, pg_api: Api) -> None:
        tx_hash = new_hash()
        spellings = [
            ("tron", tx_hash),
            ("tron", tx_hash.upper()),
            ("ethereum", f"0x{tx_hash}"),
            ("bsc", f"0X{tx_hash.upper()}"),
            ("polygon", f"0x{tx_hash}"),
            ("ton", base64.b64encode(bytes.fromhex(tx_hash)).decode()),
            ("bitcoin", tx_hash),
        ]
        readers = make_readers(pg_api, len(spellings))

        def send(number: int) -> Any:
            network, typed = spellings[number]
            return readers[number].submit(typed, network=network)

        self.left_one(pg_api, at_once(len(spellings), send))


class TestCommand:
    def test_an_unknown_plan_is_refused_before_anything_is_written(self, api: Api) -> None:
        with pytest.raises(InvalidInput):
            submit(api.app, make_user(api.app), plan="weekly")
        assert count(api.app, Invoice) == 0
