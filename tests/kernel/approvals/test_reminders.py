"""Undecided questions are asked again with fresh buttons, a few times, and decided once."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest
import time_machine
from sqlalchemy import update

from manga_backend.kernel.approvals import jobs
from manga_backend.kernel.approvals.models import Approval
from manga_backend.kernel.approvals.types import Decision
from manga_backend.kernel.identity.models import User
from manga_backend.kernel.identity.types import Role
from manga_backend.kernel.memberships.models import SubscriptionChange
from manga_backend.kernel.notifications.models import Notification
from manga_backend.kernel.notifications.service import delivery
from manga_backend.kernel.notifications.types import Status
from manga_backend.kernel.telegram.events import PollerReturned
from manga_backend.kit import clock
from manga_backend.kit.app import App
from manga_backend.kit.events import publish
from manga_backend.kit.jobs import schedules
from tests.conftest import Deployment
from tests.kernel.commands import answer, say
from tests.kernel.factories import (
    admin,
    approval_of,
    at_work,
    count,
    decide,
    make_due,
    make_user,
    new_chat,
    rows,
    submit,
)
from tests.standins.telegram import BotApiStandIn, Message
from tests.support import ADMIN_IDS, LOG_CHANNEL, Api, at_once, new_hash, this_year
from tests.variants import variant_api

MINUTE = timedelta(minutes=1)
HOUR = 60 * MINUTE


@contextmanager
def later(by: timedelta) -> Iterator[None]:
    with time_machine.travel(clock.now() + by):
        yield


def remind(app: App) -> None:
    with app.app_context():
        jobs.remind()


def poller_returns(app: App) -> None:
    with at_work(app):
        publish(PollerReturned(away_seconds=600))


def questions(app: App, payment: uuid.UUID, chat: int = ADMIN_IDS[0]) -> list[Notification]:
    """What asked one admin about a payment, edits left out."""
    subject = f"approval:{approval_of(app, payment).id}"
    return rows(
        app,
        Notification,
        Notification.subject == subject,
        Notification.chat_id == chat,
        Notification.edits_id.is_(None),
    )


def asked(api: Api, tx_hash: str, chat: int = ADMIN_IDS[0]) -> list[Message]:
    """What an admin sees about one hash, oldest first."""
    return [message for message in api.bot.messages(chat) if tx_hash in message.text]


@pytest.fixture
def tx_hash() -> str:
    return new_hash()


@pytest.fixture
def payment(api: Api, tx_hash: str) -> uuid.UUID:
    """One that waits; its questions have left."""
    found = submit(api.app, make_user(api.app), tx_hash)
    api.deliver()
    return found


class TestRemind:
    def test_not_before_the_hour_is_over(self, api: Api, payment: uuid.UUID) -> None:
        with later(HOUR - MINUTE):
            remind(api.app)
        assert len(questions(api.app, payment)) == 1
        with later(HOUR + MINUTE):
            remind(api.app)
        assert len(questions(api.app, payment)) == 2

    def test_every_admin_gets_fresh_buttons_and_the_old_ones_go(
        self, api: Api, payment: uuid.UUID, tx_hash: str
    ) -> None:
        before = {chat: asked(api, tx_hash, chat)[0].text for chat in ADMIN_IDS}
        with later(HOUR):
            remind(api.app)
            api.deliver()
        for chat in ADMIN_IDS:
            old, fresh = asked(api, tx_hash, chat)
            assert old.text == before[chat] + "\n\nAsked again below."
            assert old.buttons == []
            assert [button["text"][0] for button in fresh.buttons] == ["✅", "❌"]
            assert "Waiting since" in fresh.text
            assert this_year() in fresh.text

    def test_three_times_and_no_more_each_an_hour_after_the_last(
        self, api: Api, payment: uuid.UUID, tx_hash: str
    ) -> None:
        counts = []
        for minutes in range(0, 400, 30):
            with later(minutes * MINUTE + MINUTE):
                remind(api.app)
                remind(api.app)
                api.deliver()
            counts.append(len(asked(api, tx_hash)))
        assert counts == [1, 1, 2, 2, 3, 3, *[4] * 8]
        assert [bool(message.buttons) for message in asked(api, tx_hash)] == [*[False] * 3, True]
        assert approval_of(api.app, payment).reminders == 3

    def test_what_is_decided_is_not_asked_again(self, api: Api, payment: uuid.UUID) -> None:
        decide(api.app, payment, Decision.APPROVE)
        with later(2 * HOUR):
            remind(api.app)
            poller_returns(api.app)
        assert len(questions(api.app, payment)) == 1

    def test_who_became_an_admin_meanwhile_is_asked_and_who_is_banned_is_not(
        self, api: Api
    ) -> None:
        gone, new = new_chat(), new_chat()
        user_id = make_user(api.app, role=Role.ADMIN, telegram_id=gone, verified=True)
        payment = submit(api.app, make_user(api.app))
        api.deliver()
        make_user(api.app, role=Role.ADMIN, telegram_id=new, verified=True)
        with at_work(api.app) as current:
            current.get_one(User, user_id).banned_at = clock.now()
        with later(HOUR):
            remind(api.app)
            api.deliver()
        assert len(questions(api.app, payment, gone)) == 1
        assert len(questions(api.app, payment, new)) == 1
        (old,) = [m for m in api.bot.messages(gone) if "Asked again" in m.text]
        assert old.buttons == []

    def test_zero_minutes_mean_never(self, deployment: Deployment, bot: BotApiStandIn) -> None:
        with variant_api(deployment, bot, APPROVAL_REMINDER_MINUTES="0") as api:
            payment = submit(api.app, make_user(api.app))
            with later(100 * HOUR):
                remind(api.app)
            assert len(questions(api.app, payment)) == 1

    def test_a_kind_that_is_switched_off_keeps_nobody_waiting(
        self, api: Api, payment: uuid.UUID
    ) -> None:
        other = submit(api.app, make_user(api.app))
        approval_id = approval_of(api.app, payment).id
        with at_work(api.app) as current:
            current.get_one(Approval, approval_id).kind = "vpn"
        api.deliver()
        with later(HOUR):
            remind(api.app)
            poller_returns(api.app)
        assert len(questions(api.app, other)) == 2

    def test_ten_runs_at_once_ask_once(self, pg_api: Api) -> None:
        payments = [submit(pg_api.app, make_user(pg_api.app)) for _ in range(25)]
        pg_api.deliver()
        with later(HOUR):
            at_once(10, lambda _: remind(pg_api.app))
        assert [len(questions(pg_api.app, payment)) for payment in payments] == [2] * 25

    def test_a_decision_and_a_reminder_at_once_leave_no_button(self, pg_api: Api) -> None:
        hashes = [new_hash() for _ in range(6)]
        payments = [submit(pg_api.app, make_user(pg_api.app), one) for one in hashes]
        pg_api.deliver()

        def act(number: int) -> None:
            if number == len(payments):
                remind(pg_api.app)
            else:
                decide(pg_api.app, payments[number], Decision.APPROVE)

        with later(HOUR):
            at_once(len(payments) + 1, act)
            for _ in range(3):
                make_due(pg_api.app)
                pg_api.deliver()
        for tx_hash in hashes:
            for message in asked(pg_api, tx_hash) + asked(pg_api, tx_hash, ADMIN_IDS[1]):
                assert "✅ Approved" in message.text
                assert message.buttons == []

    def test_the_leader_looks_every_minute(self, app: App) -> None:
        with app.app_context():
            assert dict(schedules.items())["approvals.remind"].every == MINUTE


class TestWhatHasNotLeft:
    def test_an_admin_whose_question_still_waits_is_not_asked_twice(self, api: Api) -> None:
        tx_hash = new_hash()
        payment = submit(api.app, make_user(api.app), tx_hash)
        with later(HOUR):
            remind(api.app)
        assert len(questions(api.app, payment)) == 1
        approval = approval_of(api.app, payment)
        assert (approval.reminders, approval.asked_at is not None) == (0, True)
        api.deliver()
        (message,) = asked(api, tx_hash)
        assert message.buttons
        with later(2 * HOUR):
            remind(api.app)
        assert approval_of(api.app, payment).reminders == 1

    def test_whom_it_could_not_reach_is_tried_again(self, api: Api, payment: uuid.UUID) -> None:
        with at_work(api.app) as current:
            row = current.get_one(Notification, questions(api.app, payment)[0].id)
            row.status = Status.DEAD
        with later(HOUR):
            remind(api.app)
        assert len(questions(api.app, payment)) == 2
        edits = rows(api.app, Notification, Notification.edits_id.is_not(None))
        assert [edit.chat_id for edit in edits] == [ADMIN_IDS[1]]

    def test_an_edit_that_is_tried_again_does_not_cover_the_decision(
        self, api: Api, payment: uuid.UUID, tx_hash: str
    ) -> None:
        with later(HOUR):
            remind(api.app)
            with at_work(api.app):
                failed = [out for out in delivery.claim_due(50) if out.edits_message_id]
                for out in failed:
                    delivery.record_failed(out, "502")
            assert len(failed) == 2
            decide(api.app, payment, Decision.APPROVE)
        with later(2 * HOUR):
            make_due(api.app)
            api.deliver()
            make_due(api.app)
            api.deliver()
        for chat in ADMIN_IDS:
            for message in asked(api, tx_hash, chat):
                assert "✅ Approved" in message.text
                assert message.buttons == []


class TestDecidingAfterReminders:
    @pytest.mark.parametrize("times", [1, 3])
    def test_every_message_shows_the_decision(
        self, api: Api, payment: uuid.UUID, tx_hash: str, times: int
    ) -> None:
        for number in range(1, times + 1):
            with later(number * HOUR + MINUTE):
                remind(api.app)
                api.deliver()
        with later((times + 1) * HOUR):
            decide(api.app, payment, Decision.REJECT, admin(4), "no money came")
            api.deliver()
        for chat in ADMIN_IDS:
            messages = asked(api, tx_hash, chat)
            assert len(messages) == times + 1
            for message in messages:
                assert "❌ Rejected" in message.text
                assert "admin 4" in message.text
                assert "Asked again" not in message.text
                assert message.buttons == []

    def test_an_old_button_works_once_and_then_says_by_whom(
        self, api: Api, payment: uuid.UUID, tx_hash: str
    ) -> None:
        with later(HOUR):
            remind(api.app)
            api.deliver()
        old, fresh = asked(api, tx_hash)
        data = f"approve:{approval_of(api.app, payment).id.hex}"
        shown = []
        for message in (old, fresh):
            callback = api.bot.press_raw(ADMIN_IDS[0], message.message_id, data)
            api.poll()
            shown.append(api.bot.wait_for_callback_answer(callback, timeout=30))
        assert shown == ["Approved.", f"Already approved by telegram:{ADMIN_IDS[0]}."]
        assert count(api.app, SubscriptionChange) == 1


class TestAfterAnAbsence:
    def test_all_that_waits_is_asked_again_at_once(
        self, api: Api, payment: uuid.UUID, tx_hash: str
    ) -> None:
        with later(5 * MINUTE):
            poller_returns(api.app)
            api.deliver()
        for chat in ADMIN_IDS:
            old, fresh = asked(api, tx_hash, chat)
            assert (old.buttons, len(fresh.buttons)) == ([], 2)
        assert approval_of(api.app, payment).reminders == 1

    def test_an_absence_that_is_told_twice_asks_once(self, pg_api: Api) -> None:
        payment = submit(pg_api.app, make_user(pg_api.app))
        pg_api.deliver()
        with later(5 * MINUTE):
            at_once(5, lambda _: poller_returns(pg_api.app))
            poller_returns(pg_api.app)
        assert len(questions(pg_api.app, payment)) == 2

    def test_what_was_filed_just_now_is_left_alone(self, api: Api, payment: uuid.UUID) -> None:
        """No click on it can have been forgotten yet."""
        with later(2 * MINUTE):
            poller_returns(api.app)
        assert len(questions(api.app, payment)) == 1

    def test_one_that_cannot_be_told_keeps_nobody_from_the_others(
        self, api: Api, payment: uuid.UUID
    ) -> None:
        other = submit(api.app, make_user(api.app))
        with at_work(api.app) as current:
            current.execute(
                update(Approval)
                .where(Approval.subject_id == str(payment))
                .values(subject_id=str(uuid.uuid4()))
            )
        api.deliver()
        with later(5 * MINUTE):
            poller_returns(api.app)
        assert len(questions(api.app, other)) == 2

    def test_within_the_same_three_times(self, api: Api, payment: uuid.UUID) -> None:
        for number in range(1, 7):
            with later(number * 10 * MINUTE):
                poller_returns(api.app)
                api.deliver()
        assert len(questions(api.app, payment)) == 4
        with later(9 * HOUR):
            remind(api.app)
        assert len(questions(api.app, payment)) == 4

    def test_the_hour_of_a_reminder_begins_anew(self, api: Api, payment: uuid.UUID) -> None:
        with later(50 * MINUTE):
            poller_returns(api.app)
            api.deliver()
        with later(70 * MINUTE):
            remind(api.app)
        assert len(questions(api.app, payment)) == 2

    def test_the_50_oldest(self, app: App) -> None:
        payments = [submit(app, make_user(app)) for _ in range(52)]
        with at_work(app) as current:
            for row in current.query(Notification):
                row.status = Status.SENT
        with later(5 * MINUTE):
            poller_returns(app)
        assert [len(questions(app, p)) for p in payments] == [*[2] * 50, 1, 1]


class TestPending:
    def test_nothing_waits(self, api: Api) -> None:
        assert answer(api, ADMIN_IDS[0], "/pending") == "Nothing is waiting for a decision."

    def test_counts_and_sends_the_oldest_to_this_admin_alone(self, api: Api) -> None:
        hashes = [new_hash() for _ in range(12)]
        payments = [submit(api.app, make_user(api.app), tx_hash) for tx_hash in hashes]
        for _ in range(3):
            make_due(api.app)
            api.deliver()
        others = len(api.bot.messages(ADMIN_IDS[1]))
        count_, *sent = say(api, ADMIN_IDS[0], "/pending")
        assert "12" in count_.text
        assert "The first 10 of 12" in count_.text
        assert [next(h for h in hashes if h in m.text) for m in sent] == hashes[:10]
        assert all(len(message.buttons) == 2 for message in sent)
        assert len(api.bot.messages(ADMIN_IDS[1])) == others
        assert {approval_of(api.app, p).reminders for p in payments} == {0}

    def test_its_buttons_decide_and_all_messages_show_it(
        self, api: Api, payment: uuid.UUID, tx_hash: str
    ) -> None:
        _count, sent = say(api, ADMIN_IDS[0], "/pending")
        callback = api.bot.press(ADMIN_IDS[0], sent.message_id, text_contains="✅")
        api.poll()
        assert api.bot.wait_for_callback_answer(callback, timeout=30) == "Approved."
        api.deliver()
        for chat, number in ((ADMIN_IDS[0], 2), (ADMIN_IDS[1], 1)):
            messages = asked(api, tx_hash, chat)
            assert len(messages) == number
            assert all("✅ Approved" in m.text and not m.buttons for m in messages)

    @pytest.mark.parametrize("role", [Role.USER, Role.SUPPORT])
    def test_is_no_command_for_whoever_may_not_decide(
        self, api: Api, payment: uuid.UUID, tx_hash: str, role: Role
    ) -> None:
        chat = new_chat()
        make_user(api.app, role=role, telegram_id=chat, verified=True)
        answers = say(api, chat, "/pending")
        assert all(tx_hash not in m.text and "decision" not in m.text for m in answers)

    def test_nor_for_a_banned_admin_nor_for_a_claim(
        self, api: Api, payment: uuid.UUID, tx_hash: str
    ) -> None:
        banned, claimed = new_chat(), new_chat()
        make_user(
            api.app, role=Role.ADMIN, telegram_id=banned, verified=True, banned_at=clock.now()
        )
        make_user(api.app, role=Role.ADMIN, telegram_id=claimed)
        for chat in (banned, claimed):
            assert all(tx_hash not in m.text for m in say(api, chat, "/pending"))


def test_the_log_channel_is_never_reminded(api: Api, payment: uuid.UUID) -> None:
    with later(HOUR):
        remind(api.app)
    assert questions(api.app, payment, LOG_CHANNEL) == []
