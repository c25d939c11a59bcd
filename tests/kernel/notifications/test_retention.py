"""What is forgotten after the retention, and what is kept."""

from __future__ import annotations

from datetime import timedelta

import pytest
import time_machine
from sqlalchemy import update

from manga_backend.kernel.approvals.types import Decision
from manga_backend.kernel.notifications import jobs
from manga_backend.kernel.notifications.models import Notification
from manga_backend.kernel.notifications.service import retention
from manga_backend.kernel.notifications.service.outbox import edit_message, notify_chat, notify_user
from manga_backend.kernel.notifications.types import Channel, Contact, Status
from manga_backend.kernel.telegram.types import Message
from manga_backend.kit import clock
from manga_backend.kit.app import App
from manga_backend.kit.jobs import schedules
from tests.kernel.factories import at_work, count, decide, make_user, new_chat, rows, submit
from tests.support import ADMIN_IDS, Api, at_once

DAYS = timedelta(days=1)


def purge(app: App, later: timedelta = 91 * DAYS) -> None:
    with time_machine.travel(clock.now() + later), app.app_context():
        jobs.purge()


def message(app: App, status: Status) -> int:
    with at_work(app):
        row = notify_chat(new_chat(), Message("x"), kind="test")
        assert row is not None
        row.status = status
        return row.id


class TestTelegram:
    @pytest.mark.parametrize("status", [Status.SENT, Status.CANCELLED, Status.UNREACHABLE])
    def test_finished_ones_are_forgotten_after_90_days(self, app: App, status: Status) -> None:
        message(app, status)
        purge(app, 89 * DAYS)
        assert count(app, Notification) == 1
        purge(app)
        purge(app)
        assert count(app, Notification) == 0

    @pytest.mark.parametrize("status", [Status.NEW, Status.FAILED, Status.DEAD, Status.HELD])
    def test_others_stay(self, app: App, status: Status) -> None:
        message(app, status)
        purge(app)
        assert count(app, Notification) == 1

    def test_an_original_stays_with_a_young_edit_of_it(self, app: App) -> None:
        row_id = message(app, Status.SENT)
        with time_machine.travel(clock.now() + 50 * DAYS), at_work(app) as current:
            edit_message(current.get_one(Notification, row_id), Message("edited"))
        purge(app)
        assert [row.edits_id for row in rows(app, Notification)] == [None, row_id]
        with at_work(app) as current:
            current.execute(update(Notification).values(status=Status.SENT))
        purge(app, 150 * DAYS)
        assert count(app, Notification) == 0

    def test_a_question_that_waits_stays_and_shows_the_decision(self, api: Api) -> None:
        payment = submit(api.app, make_user(api.app))
        api.deliver()
        purge(api.app)
        asked = rows(api.app, Notification, Notification.kind == "approval")
        assert {row.chat_id for row in asked} == set(ADMIN_IDS)
        decide(api.app, payment, Decision.APPROVE)
        api.deliver()
        purge(api.app, 100 * DAYS)
        assert count(api.app, Notification, Notification.kind == "approval") == 0


class TestInbox:
    def test_what_was_read_is_forgotten_and_what_was_not_stays(self, app: App) -> None:
        user_id = make_user(app)
        with at_work(app) as current:
            for _ in range(2):
                notify_user(Contact(user_id, None, None), Message("x"), kind="test")
            current.flush()
        first, second = rows(app, Notification)
        with at_work(app) as current:
            current.get_one(Notification, first.id).read_at = clock.now()
        purge(app)
        assert [row.id for row in rows(app, Notification)] == [second.id]


def test_goes_on_until_nothing_is_left(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "PURGE_BATCH", 3)
    kept = [message(app, Status.DEAD if n % 2 else Status.SENT) for n in range(20)][1::2]
    purge(app)
    assert [row.id for row in rows(app, Notification)] == kept


def test_ten_at_once_do_no_harm(pg_app: App) -> None:
    for _ in range(30):
        message(pg_app, Status.SENT)
    with time_machine.travel(clock.now() + 91 * DAYS):
        at_once(10, lambda _: run_here(pg_app))
    assert count(pg_app, Notification, Notification.channel == Channel.TELEGRAM) == 0


def run_here(app: App) -> None:
    with app.app_context():
        jobs.purge()


def test_the_leader_does_so_every_day(app: App) -> None:
    with app.app_context():
        assert dict(schedules.items())["notifications.purge"].every == DAYS
