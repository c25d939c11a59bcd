"""Payments are decided once, and everyone hears the same."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Callable
from datetime import timedelta

import pytest
import time_machine
from sqlalchemy import update

from manga_backend.kernel.approvals.errors import AlreadyApproved, AlreadyRejected
from manga_backend.kernel.approvals.models import Approval
from manga_backend.kernel.approvals.service import deciding as desk
from manga_backend.kernel.approvals.types import Decision, State
from manga_backend.kernel.backoffice.models import AuditEntry
from manga_backend.kernel.memberships.models import Plan, SubscriptionChange
from manga_backend.kernel.money.payments.errors import PaymentNotPending
from manga_backend.kernel.money.payments.models import (
    Invoice,
    InvoiceHistory,
    Payment,
    PaymentHistory,
)
from manga_backend.kernel.money.payments.service.decide import PaymentSubject
from manga_backend.kernel.money.payments.types import InvoiceStatus, PaymentStatus
from manga_backend.kernel.notifications.models import Notification
from manga_backend.kit import clock
from manga_backend.kit.app import App
from manga_backend.kit.problems import DomainError
from tests.kernel.factories import (
    admin,
    approval_of,
    at_work,
    count,
    decide,
    end_of,
    make_due,
    make_reader,
    make_user,
    payment_of,
    rows,
    submit,
    subscription_of,
    told,
)
from tests.support import ADMIN_IDS, LOG_CHANNEL, Api, at_once, new_hash

DAYS_30 = timedelta(days=30)
APPROVE, REJECT = Decision.APPROVE, Decision.REJECT
STEPS: list[tuple[Decision, Callable[[App, uuid.UUID], None]]] = [
    (APPROVE, lambda app, payment: approve_directly(app, payment)),
    (REJECT, lambda app, payment: reject_directly(app, payment)),
]


def approve_directly(app: App, payment_id: uuid.UUID) -> None:
    """Past the desk, as a second door would."""
    with at_work(app):
        PaymentSubject().approve(str(payment_id), admin())


def reject_directly(app: App, payment_id: uuid.UUID) -> None:
    with at_work(app):
        PaymentSubject().reject(str(payment_id), admin(), None)


def steps(app: App, kind: type[PaymentHistory | InvoiceHistory]) -> list[tuple[str | None, str]]:
    return [(step.from_status, step.to_status) for step in rows(app, kind)]


class TestApprove:
    def test_gives_the_days_from_now(self, app: App) -> None:
        user_id = make_user(app)
        payment = submit(app, user_id)
        with time_machine.travel(clock.now() + timedelta(hours=5), tick=False):
            decide(app, payment, APPROVE)
            found = subscription_of(app, user_id)
            assert found is not None
            assert (found.started_at, found.expires_at) == (clock.now(), clock.now() + DAYS_30)

    def test_gives_the_days_on_top_of_what_is_left(self, app: App) -> None:
        user_id = make_user(app)
        first, second = submit(app, user_id), submit(app, user_id)
        decide(app, first, APPROVE)
        end = end_of(app, user_id)
        with time_machine.travel(end - timedelta(seconds=1), tick=False):
            decide(app, second, APPROVE)
        assert end_of(app, user_id) == end + DAYS_30

    def test_gives_the_days_from_now_after_a_gap(self, app: App) -> None:
        user_id = make_user(app)
        first, second = submit(app, user_id), submit(app, user_id)
        decide(app, first, APPROVE)
        later = end_of(app, user_id) + timedelta(days=3)
        with time_machine.travel(later, tick=False):
            decide(app, second, APPROVE)
            now = clock.now()
        found = subscription_of(app, user_id)
        assert found is not None
        assert (found.started_at, found.expires_at) == (now, now + DAYS_30)

    def test_gives_what_was_sold_even_when_the_plan_changed_since(self, app: App) -> None:
        user_id = make_user(app)
        payment = submit(app, user_id)
        with at_work(app) as current:
            current.execute(update(Plan).values(days=1))
        try:
            decide(app, payment, APPROVE)
        finally:
            with at_work(app) as current:
                current.execute(update(Plan).values(days=30))
        assert end_of(app, user_id) > clock.now() + timedelta(days=29)

    def test_moves_payment_and_invoice_and_notes_each_step(self, app: App) -> None:
        payment_id = submit(app, make_user(app))
        decide(app, payment_id, APPROVE, admin(7))
        payment = payment_of(app, payment_id)
        assert payment.status is PaymentStatus.APPROVED
        assert (payment.decided_by, payment.decided_by_label) == ("telegram:7", "admin 7")
        (invoice,) = rows(app, Invoice)
        assert invoice.status is InvoiceStatus.PAID
        assert invoice.paid_at is not None
        assert steps(app, PaymentHistory) == [(None, "pending"), ("pending", "approved")]
        assert steps(app, InvoiceHistory) == [(None, "open"), ("open", "paid")]
        assert [row.actor for row in rows(app, PaymentHistory)][1] == "telegram:7"

    def test_tells_the_user_and_the_log_channel(self, api: Api) -> None:
        reader, tx_hash = make_reader(api), new_hash()
        user_id = api.user_id(reader)
        decide(api.app, submit(api.app, user_id, tx_hash), APPROVE)
        api.deliver()
        assert "accepted" in api.bot.wait_for_message(reader.telegram_id, timeout=30).text
        assert [row.kind for row in told(api.app, user_id)] == ["payment_approved"]
        assert reader.username in api.question(LOG_CHANNEL, tx_hash).text


class TestReject:
    def test_gives_nothing_and_cancels_the_invoice(self, app: App) -> None:
        user_id = make_user(app)
        payment_id = submit(app, user_id)
        decide(app, payment_id, REJECT, reason="no such transfer")
        payment = payment_of(app, payment_id)
        assert (payment.status, payment.reason) == (PaymentStatus.REJECTED, "no such transfer")
        assert subscription_of(app, user_id) is None
        (invoice,) = rows(app, Invoice)
        assert (invoice.status, invoice.paid_at) == (InvoiceStatus.CANCELLED, None)
        assert steps(app, PaymentHistory)[-1] == ("pending", "rejected")
        assert steps(app, InvoiceHistory)[-1] == ("open", "cancelled")
        assert rows(app, PaymentHistory)[-1].reason == "no such transfer"

    def test_tells_the_user_the_reason_with_its_html_made_harmless(self, api: Api) -> None:
        reader = make_reader(api)
        payment = submit(api.app, api.user_id(reader))
        decide(api.app, payment, REJECT, reason="too <b>little</b> & late")
        api.deliver()
        message = api.bot.wait_for_message(reader.telegram_id, timeout=30)
        assert "Reason: too <b>little</b> & late" in message.text
        assert "too &lt;b&gt;little&lt;/b&gt; &amp; late" in message.html
        (inbox,) = told(api.app, api.user_id(reader))
        assert "too <b>little</b> & late" in inbox.text
        assert reader.get(f"/api/payments/{payment}").get_json()["reason"] == (
            "too <b>little</b> & late"
        )

    def test_without_a_reason_no_empty_line_is_told(self, api: Api) -> None:
        reader = make_reader(api)
        decide(api.app, submit(api.app, api.user_id(reader)), REJECT)
        api.deliver()
        assert "Reason" not in api.bot.wait_for_message(reader.telegram_id, timeout=30).text


class TestTwice:
    @pytest.mark.parametrize("second", [APPROVE, REJECT])
    @pytest.mark.parametrize(
        ("first", "refusal"), [(APPROVE, AlreadyApproved), (REJECT, AlreadyRejected)]
    )
    def test_the_second_hears_who_was_first(
        self, app: App, first: Decision, second: Decision, refusal: type[DomainError]
    ) -> None:
        user_id = make_user(app)
        payment = submit(app, user_id)
        decide(app, payment, first, admin(1))
        end = subscription_of(app, user_id)
        written = count(app, Notification)
        with pytest.raises(refusal) as heard:
            decide(app, payment, second, admin(2))
        assert heard.value.params == {"who": "admin 1"}
        again = subscription_of(app, user_id)
        assert (again and again.expires_at) == (end and end.expires_at)
        assert count(app, Notification) == written
        assert count(app, AuditEntry) == 1
        assert count(app, PaymentHistory) == count(app, InvoiceHistory) == 2

    @pytest.mark.parametrize(("decision", "directly"), STEPS)
    @pytest.mark.parametrize("first", [APPROVE, REJECT])
    def test_past_the_desk_a_decided_payment_is_not_pending(
        self,
        app: App,
        first: Decision,
        decision: Decision,
        directly: Callable[[App, uuid.UUID], None],
    ) -> None:
        user_id = make_user(app)
        payment = submit(app, user_id)
        decide(app, payment, first)
        before = payment_of(app, payment)
        with pytest.raises(PaymentNotPending):
            directly(app, payment)
        after = payment_of(app, payment)
        assert (after.status, after.decided_at) == (before.status, before.decided_at)
        assert count(app, SubscriptionChange) == (1 if first is APPROVE else 0)

    @pytest.mark.parametrize(("decision", "directly"), STEPS)
    def test_the_desk_changes_nothing_for_a_payment_decided_elsewhere(
        self, app: App, decision: Decision, directly: Callable[[App, uuid.UUID], None]
    ) -> None:
        payment = submit(app, make_user(app))
        directly(app, payment)
        other = REJECT if decision is APPROVE else APPROVE
        with pytest.raises(PaymentNotPending):
            decide(app, payment, other)
        assert approval_of(app, payment).state is State.PENDING
        assert count(app, AuditEntry) == 0


class TestAtOnce:
    def test_ten_approve_and_ten_reject_and_one_decides(self, pg_app: App) -> None:
        user_id = make_user(pg_app)
        payment_id = submit(pg_app, user_id)
        approval_id = approval_of(pg_app, payment_id).id

        def press(number: int) -> str:
            decision = APPROVE if number % 2 else REJECT
            try:
                with at_work(pg_app):
                    desk.decide(approval_id, decision, admin(number))
            except (AlreadyApproved, AlreadyRejected) as refusal:
                return f"{refusal.code} {type(refusal).__name__} {refusal.params['who']}"
            return f"won {number}"

        heard = Counter(at_once(20, press))
        (winner,) = [int(words.split()[1]) for words in heard if words.startswith("won")]
        approved = winner % 2 == 1
        refusal = "AlreadyApproved" if approved else "AlreadyRejected"
        assert heard == {f"won {winner}": 1, f"already_decided {refusal} admin {winner}": 19}

        payment = payment_of(pg_app, payment_id)
        assert payment.decided_by == f"telegram:{winner}"
        assert payment.status.value == ("approved" if approved else "rejected")
        assert approval_of(pg_app, payment_id).state.value == payment.status.value
        assert count(pg_app, SubscriptionChange) == (1 if approved else 0)
        assert count(pg_app, PaymentHistory) == count(pg_app, InvoiceHistory) == 2
        assert count(pg_app, AuditEntry) == 1
        assert [row.kind for row in told(pg_app, user_id)] == [f"payment_{payment.status.value}"]
        edits = rows(pg_app, Notification, Notification.edits_id.is_not(None))
        assert sorted(row.chat_id for row in edits) == sorted(ADMIN_IDS)
        lines = rows(pg_app, Notification, Notification.chat_id == LOG_CHANNEL)
        assert len(lines) == 1

    def test_20_approvals_of_one_payment_extend_once(self, pg_app: App) -> None:
        user_id = make_user(pg_app)
        payment = submit(pg_app, user_id)
        refusals = at_once(20, lambda n: try_to(lambda: decide(pg_app, payment, APPROVE, admin(n))))
        assert Counter(refusals) == {"": 1, "AlreadyApproved": 19}
        assert count(pg_app, SubscriptionChange) == 1
        assert end_of(pg_app, user_id) <= clock.now() + DAYS_30

    def test_20_approvals_past_the_desk_extend_once(self, pg_app: App) -> None:
        user_id = make_user(pg_app)
        payment = submit(pg_app, user_id)
        refusals = at_once(20, lambda _: try_to(lambda: approve_directly(pg_app, payment)))
        assert Counter(refusals) == {"": 1, "PaymentNotPending": 19}
        assert count(pg_app, SubscriptionChange) == 1
        assert end_of(pg_app, user_id) <= clock.now() + DAYS_30

    def test_three_payments_of_one_user_at_once_add_up(self, pg_app: App) -> None:
        user_id = make_user(pg_app)
        payments = [submit(pg_app, user_id) for _ in range(3)]
        at_once(3, lambda n: decide(pg_app, payments[n], APPROVE))
        found = subscription_of(pg_app, user_id)
        assert found is not None
        assert found.expires_at - found.started_at == 3 * DAYS_30


def try_to(action: Callable[[], None]) -> str:
    """The name of the refusal, or nothing."""
    try:
        action()
    except DomainError as refusal:
        return type(refusal).__name__
    return ""


class TestPressed:
    """The same through Telegram: the buttons, the queue, the poller."""

    def asked(self, api: Api, tx_hash: str) -> tuple[int, int]:
        """The ids of both admins' messages about a new payment."""
        submit(api.app, make_user(api.app), tx_hash)
        api.deliver()
        first, second = (api.question(chat, tx_hash).message_id for chat in ADMIN_IDS)
        return first, second

    def data(self, api: Api, chat: int, message: int, sign: str) -> str:
        buttons = api.bot.message(chat, message).buttons
        return next(str(b["callback_data"]) for b in buttons if sign in b["text"])

    def test_pressing_ten_times_approves_once(self, api: Api) -> None:
        tx_hash = new_hash()
        message, _ = self.asked(api, tx_hash)
        data = self.data(api, ADMIN_IDS[0], message, "✅")
        presses = [api.bot.press_raw(ADMIN_IDS[0], message, data) for _ in range(10)]
        api.poll()
        heard = Counter(api.bot.wait_for_callback_answer(p, timeout=30) for p in presses)
        name = f"telegram:{ADMIN_IDS[0]}"
        assert heard == {"Approved.": 1, f"Already approved by {name}.": 9}
        assert count(api.app, SubscriptionChange) == 1
        assert count(api.app, AuditEntry) == 1

    def test_yes_and_no_by_two_admins_in_one_fetch(self, api: Api) -> None:
        tx_hash = new_hash()
        messages = self.asked(api, tx_hash)
        data = [
            self.data(api, chat, message, sign)
            for chat, message, sign in zip(ADMIN_IDS, messages, "❌✅", strict=True)
        ]
        presses = [
            api.bot.press_raw(ADMIN_IDS[n % 2], messages[n % 2], data[n % 2]) for n in range(10)
        ]
        api.poll()
        heard = [api.bot.wait_for_callback_answer(p, timeout=30) for p in presses]
        assert heard[0] == "Rejected."
        assert set(heard[1:]) == {f"Already rejected by telegram:{ADMIN_IDS[0]}."}
        (payment,) = rows(api.app, Payment)
        assert payment.status is PaymentStatus.REJECTED
        assert count(api.app, SubscriptionChange) == 0
        make_due(api.app)
        api.deliver()
        for chat, message in zip(ADMIN_IDS, messages, strict=True):
            now = api.bot.message(chat, message)
            assert "Rejected" in now.text
            assert f"telegram:{ADMIN_IDS[0]}" in now.text
            assert now.buttons == []

    def test_a_press_on_a_payment_decided_elsewhere_leaves_the_question_open(
        self, api: Api
    ) -> None:
        tx_hash = new_hash()
        message, _ = self.asked(api, tx_hash)
        (payment,) = rows(api.app, Payment)
        reject_directly(api.app, payment.id)
        press = api.bot.press_raw(
            ADMIN_IDS[0], message, self.data(api, ADMIN_IDS[0], message, "✅")
        )
        api.poll()
        assert "already" in api.bot.wait_for_callback_answer(press, timeout=30)
        (approval,) = rows(api.app, Approval)
        assert approval.state is State.PENDING
        assert payment_of(api.app, payment.id).status is PaymentStatus.REJECTED
