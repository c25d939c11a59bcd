"""Questions to the admins: who is asked, in which language, and what everyone is told."""

from __future__ import annotations

import uuid

import pytest
from sqlalchemy import update
from sqlalchemy.exc import IntegrityError

from manga_backend.kernel.approvals.errors import ApprovalNotFound
from manga_backend.kernel.approvals.models import Approval
from manga_backend.kernel.approvals.service import asking
from manga_backend.kernel.approvals.service import deciding as service
from manga_backend.kernel.approvals.types import Decision, State
from manga_backend.kernel.backoffice.models import AuditEntry
from manga_backend.kernel.identity.models import User
from manga_backend.kernel.identity.types import Role
from manga_backend.kernel.money.payments.service.submit import submit_transaction
from manga_backend.kernel.notifications.models import Notification
from manga_backend.kernel.notifications.types import Status
from manga_backend.kit import clock
from manga_backend.kit.app import App
from tests.kernel.factories import (
    admin,
    approval_of,
    at_work,
    count,
    decide,
    get_user,
    make_due,
    make_user,
    new_chat,
    rows,
    submit,
)
from tests.support import ADMIN_IDS, LOG_CHANNEL, Api, new_hash, this_year


def asked(app: App) -> dict[int | None, Notification]:
    """Chat → the question that waits for it."""
    found = rows(
        app, Notification, Notification.kind == "approval", Notification.edits_id.is_(None)
    )
    return {row.chat_id: row for row in found if row.chat_id != LOG_CHANNEL}


class TestFileApproval:
    def test_asks_listed_admins_and_verified_admin_accounts(self, app: App) -> None:
        chats = [new_chat(), new_chat()]
        make_user(app, role=Role.ADMIN, telegram_id=chats[0], verified=True)
        make_user(app, role=Role.SUPERUSER, telegram_id=chats[1], verified=True)
        submit(app, make_user(app))
        assert set(asked(app)) == {*ADMIN_IDS, *chats}

    def test_asks_nobody_who_may_not_decide(self, app: App) -> None:
        make_user(app, role=Role.ADMIN)  # a claimed id
        make_user(app, role=Role.SUPPORT, verified=True)
        make_user(app, role=Role.USER, verified=True)
        make_user(app, role=Role.ADMIN, verified=True, banned_at=clock.now())
        submit(app, make_user(app))
        assert set(asked(app)) == set(ADMIN_IDS)

    def test_an_admin_who_is_listed_and_has_an_account_is_asked_once(self, app: App) -> None:
        make_user(app, role=Role.ADMIN, telegram_id=ADMIN_IDS[0], verified=True)
        submit(app, make_user(app))
        questions = rows(app, Notification, Notification.kind == "approval")
        assert sorted(row.chat_id for row in questions) == sorted(ADMIN_IDS)

    def test_asks_each_in_their_language(self, app: App) -> None:
        make_user(app, role=Role.ADMIN, telegram_id=ADMIN_IDS[0], verified=True, language="fa")
        chat = new_chat()
        make_user(app, role=Role.ADMIN, telegram_id=chat, verified=True, language="ru")
        submit(app, make_user(app))
        found = asked(app)
        languages = {row.chat_id: row.language for row in found.values()}
        assert languages == {ADMIN_IDS[0]: "fa", ADMIN_IDS[1]: "en", chat: "ru"}
        year = this_year()
        assert year not in found[ADMIN_IDS[0]].text  # the Jalali calendar
        assert "۱۴" in found[ADMIN_IDS[0]].text
        assert year in found[ADMIN_IDS[1]].text
        assert year in found[chat].text

    def test_one_question_about_one_thing(self, app: App) -> None:
        payment = submit(app, make_user(app))
        with pytest.raises(IntegrityError), at_work(app):
            asking.file_approval("payment", str(payment))
        assert count(app, Approval) == 1

    def test_nothing_is_asked_when_the_payment_is_rolled_back(self, app: App) -> None:
        user_id = make_user(app)
        with pytest.raises(ZeroDivisionError):
            submit_and_fail(app, user_id)
        assert count(app, Approval) == count(app, Notification) == 0

    def test_the_question_shows_all_that_an_admin_needs(self, api: Api) -> None:
        chat, tx_hash = new_chat(), new_hash()
        user_id = make_user(api.app, telegram_id=chat)
        submit(api.app, user_id, tx_hash)
        api.deliver()
        question = api.question(ADMIN_IDS[0], tx_hash)
        user = get_user(api.app, user_id)
        for fact in (user.label, str(chat), "(not verified)", "30 days", "5.00 USDT", "tron"):
            assert fact in question.text
        assert "Purchases so far" in question.text
        assert f"<code>{tx_hash}</code>" in question.html
        assert f"https://tronscan.org/#/transaction/{tx_hash}" in question.html
        assert [button["text"][0] for button in question.buttons] == ["✅", "❌"]

    def test_a_verified_id_bears_no_such_remark(self, api: Api) -> None:
        tx_hash = new_hash()
        submit(api.app, make_user(api.app, verified=True), tx_hash)
        api.deliver()
        assert "(not verified)" not in api.question(ADMIN_IDS[0], tx_hash).text


def submit_and_fail(app: App, user_id: int) -> None:
    with at_work(app):
        submit_transaction(user_id, new_hash())
        raise ZeroDivisionError


class TestDecide:
    def test_an_unknown_question_is_not_found(self, app: App) -> None:
        with pytest.raises(ApprovalNotFound), at_work(app):
            service.decide(uuid.uuid4(), Decision.APPROVE, admin())

    def test_notes_by_whom_and_why(self, app: App) -> None:
        payment = submit(app, make_user(app))
        decide(app, payment, Decision.REJECT, admin(5), "no money came")
        approval = approval_of(app, payment)
        assert (approval.state, approval.reason) == (State.REJECTED, "no money came")
        assert (approval.decided_by, approval.decided_by_label) == ("telegram:5", "admin 5")
        (entry,) = rows(app, AuditEntry)
        assert (entry.action, entry.actor) == ("payment.rejected", "telegram:5")
        assert (entry.subject_type, entry.subject_id) == ("payment", str(payment))
        assert entry.after == {"state": "rejected", "reason": "no money came"}

    @pytest.mark.parametrize(
        ("decision", "sign", "word"),
        [(Decision.APPROVE, "✅", "Approved"), (Decision.REJECT, "❌", "Rejected")],
    )
    def test_every_admins_message_shows_it_without_buttons(
        self, api: Api, decision: Decision, sign: str, word: str
    ) -> None:
        tx_hash = new_hash()
        payment = submit(api.app, make_user(api.app), tx_hash)
        api.deliver()
        asked_ids = [api.question(chat, tx_hash).message_id for chat in ADMIN_IDS]
        decide(api.app, payment, decision, admin(3))
        api.deliver()
        for chat, message_id in zip(ADMIN_IDS, asked_ids, strict=True):
            message = api.bot.message(chat, message_id)
            assert message.edited
            assert f"{sign} {word}" in message.text
            assert "admin 3" in message.text
            assert tx_hash in message.text
            assert message.buttons == []

    def test_each_admin_reads_it_in_their_language(self, app: App) -> None:
        make_user(app, role=Role.ADMIN, telegram_id=ADMIN_IDS[0], verified=True, language="fa")
        payment = submit(app, make_user(app))
        decide(app, payment, Decision.APPROVE)
        edits = rows(app, Notification, Notification.edits_id.is_not(None))
        texts = {row.chat_id: row.text for row in edits}
        year = this_year()
        assert year not in texts[ADMIN_IDS[0]]
        assert year in texts[ADMIN_IDS[1]]

    def test_a_reason_is_escaped_for_admins_and_the_log_channel(self, api: Api) -> None:
        tx_hash = new_hash()
        payment = submit(api.app, make_user(api.app), tx_hash)
        api.deliver()
        decide(api.app, payment, Decision.REJECT, reason='<a href="x">me</a> & <script>')
        api.deliver()
        for chat in (*ADMIN_IDS, LOG_CHANNEL):
            message = api.question(chat, tx_hash)
            assert 'Reason: <a href="x">me</a> & <script>' in message.text
            assert "&lt;script&gt;" in message.html

    def test_a_label_is_escaped_too(self, api: Api) -> None:
        """A username cannot hold HTML; the label of another kind of account some day might."""
        tx_hash = new_hash()
        user_id = make_user(api.app)
        with at_work(api.app) as current:
            current.execute(
                update(User)
                .where(User.id == user_id)
                .values(username="<b>x</b>&", username_key="x")
            )
        submit(api.app, user_id, tx_hash)
        api.deliver()
        question = api.question(ADMIN_IDS[0], tx_hash)
        assert "<b>x</b>&" in question.text
        assert "&lt;b&gt;x" in question.html

    @pytest.mark.parametrize("name", ["<b>x</b>", "a&b", 'x" onclick="y', "a<b"])
    def test_no_username_with_html_can_be_registered(self, api: Api, name: str) -> None:
        body = {"username": name, "password": "correct horse", "telegram_id": new_chat()}
        assert api.post("/auth/register", body).status_code == 400

    def test_decided_before_the_question_left_still_ends_right(self, api: Api) -> None:
        tx_hash = new_hash()
        payment = submit(api.app, make_user(api.app), tx_hash)
        decide(api.app, payment, Decision.APPROVE)
        api.deliver()
        make_due(api.app)  # the edits waited for their originals
        api.deliver()
        for chat in ADMIN_IDS:
            message = api.question(chat, tx_hash)
            assert "Approved" in message.text
            assert message.buttons == []
            assert len(message.history) == 1
        left = rows(api.app, Notification, Notification.status != Status.SENT)
        assert left == []

    def test_an_admin_who_could_not_be_asked_is_not_told_either(self, api: Api) -> None:
        chat = new_chat()
        make_user(api.app, role=Role.ADMIN, telegram_id=chat, verified=True)
        api.bot.open_chat(chat)
        api.bot.block(chat)
        payment = submit(api.app, make_user(api.app))
        api.deliver()
        decide(api.app, payment, Decision.APPROVE)
        api.deliver()
        statuses = [row.status for row in rows(api.app, Notification, Notification.chat_id == chat)]
        assert statuses == [Status.UNREACHABLE, Status.CANCELLED]

    def test_a_rolled_back_decision_is_never_told(self, app: App) -> None:
        payment = submit(app, make_user(app))
        approval_id = approval_of(app, payment).id
        before = count(app, Notification)
        with pytest.raises(ZeroDivisionError):
            decide_and_fail(app, approval_id)
        assert count(app, Notification) == before
        assert count(app, AuditEntry) == 0
        assert approval_of(app, payment).state is State.PENDING


def decide_and_fail(app: App, approval_id: uuid.UUID) -> None:
    with at_work(app):
        service.decide(approval_id, Decision.APPROVE, admin())
        raise ZeroDivisionError
