"""Users are told before and at the end of a subscription, once for each end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

import pytest
import time_machine
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import event

from manga_backend.kernel.memberships import jobs, queries, service
from manga_backend.kernel.memberships.domain import MAKE_UP_FOR_END, due_stage
from manga_backend.kernel.memberships.models import SubscriptionNotice
from manga_backend.kernel.memberships.types import NoticeStage, Source
from manga_backend.kernel.notifications.models import Notification
from manga_backend.kit import clock
from manga_backend.kit.app import App
from manga_backend.kit.db import db
from manga_backend.kit.jobs import schedules
from tests.conftest import Deployment
from tests.kernel.factories import (
    PLAN,
    PRODUCT,
    at_work,
    count,
    end_of,
    make_user,
    new_chat,
    rows,
    told,
)
from tests.standins.telegram import BotApiStandIn
from tests.support import Api, at_once, counted_queries, year_of
from tests.variants import variant_api

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
NOW = clock.now()


@contextmanager
def at(moment: datetime) -> Iterator[None]:
    with time_machine.travel(moment, tick=False):
        yield


def subscribe(app: App, user_id: int, days: int = 30) -> datetime:
    """From now on; returns the end."""
    with at_work(app):
        source_id = f"{user_id}-{clock.now()}-{days}"
        service.extend(user_id, PRODUCT, PLAN, days, source=Source.PAYMENT, source_id=source_id)
    return end_of(app, user_id)


def make_ending(app: App, ends_in: timedelta, **values: object) -> int:
    """A user whose subscription of 30 days ends then."""
    user_id = make_user(app, **values)
    with at(clock.now() + ends_in - 30 * DAY):
        subscribe(app, user_id)
    return user_id


def run(app: App) -> None:
    with app.app_context():
        jobs.tell_ends()


def kinds(app: App, user_id: int) -> list[str]:
    return [row.kind for row in told(app, user_id)]


class TestDueStage:
    @pytest.mark.parametrize(
        ("left", "stage"),
        [
            (3 * DAY + HOUR, None),
            (3 * DAY, NoticeStage.THREE_DAYS),
            (DAY + HOUR, NoticeStage.THREE_DAYS),
            (DAY, NoticeStage.ONE_DAY),
            (HOUR, NoticeStage.ONE_DAY),
            (0 * DAY, NoticeStage.ENDED),
            (-3 * DAY + HOUR, NoticeStage.ENDED),
            (-3 * DAY, None),
        ],
    )
    def test_is_the_most_urgent_that_has_come(
        self, left: timedelta, stage: NoticeStage | None
    ) -> None:
        assert due_stage(NOW - 30 * DAY, NOW + left, NOW) is stage

    @pytest.mark.parametrize(
        ("days", "stages"),
        [
            (1, [NoticeStage.ENDED]),
            (2, [NoticeStage.ONE_DAY, NoticeStage.ENDED]),
            (3, [NoticeStage.ONE_DAY, NoticeStage.ENDED]),
            (4, [NoticeStage.THREE_DAYS, NoticeStage.ONE_DAY, NoticeStage.ENDED]),
        ],
    )
    def test_a_short_gift_is_not_told_at_once_what_has_come_before_it(
        self, days: int, stages: list[NoticeStage]
    ) -> None:
        end = NOW + days * DAY
        seen = [due_stage(NOW, end, NOW + n * HOUR) for n in range(24 * (days + 5))]
        found = [s for n, s in enumerate(seen) if s is not None and s is not seen[n - 1]]
        assert found == stages

    @given(st.timedeltas(-9 * DAY, 9 * DAY), st.timedeltas(0 * DAY, 40 * DAY))
    def test_never_long_after_the_end_nor_long_before(
        self, left: timedelta, length: timedelta
    ) -> None:
        stage = due_stage(NOW + left - length, NOW + left, NOW)
        if stage is not None:
            assert -MAKE_UP_FOR_END < left <= 3 * DAY


class TestTellEnds:
    def test_tells_three_times_on_the_way_to_the_end_and_no_more(self, app: App) -> None:
        user_id = make_user(app)
        end = subscribe(app, user_id)
        expected = ["subscription_three_days", "subscription_one_day", "subscription_ended"]
        for left, so_far in (
            (3 * DAY + HOUR, 0),
            (3 * DAY, 1),
            (2 * DAY, 1),
            (DAY, 2),
            (HOUR, 2),
            (0 * DAY, 3),
            (-DAY, 3),
            (-40 * DAY, 3),
        ):
            with at(end - left):
                run(app)
                run(app)
            assert kinds(app, user_id) == expected[:so_far]

    def test_on_telegram_too_in_the_users_language_and_calendar(self, api: Api) -> None:
        chats = {"fa": new_chat(), "en": new_chat()}
        users = {
            language: make_ending(api.app, 2 * DAY, telegram_id=chat, language=language)
            for language, chat in chats.items()
        }
        run(api.app)
        api.deliver()
        year = year_of(end_of(api.app, users["en"]))
        english = api.bot.wait_for_message(chats["en"], timeout=30)
        assert "Your subscription ends soon." in english.text
        assert year in english.text
        assert "Days left: 2" in english.text
        persian = api.bot.wait_for_message(chats["fa"], timeout=30)
        assert year not in persian.text
        assert "۱۴" in persian.text
        assert english.buttons == []

    def test_one_day_before_no_number_of_days_is_named(self, app: App) -> None:
        user_id = make_ending(app, 5 * HOUR, language="en")
        run(app)
        (notice,) = told(app, user_id)
        assert "Your subscription ends within a day." in notice.text
        assert "Days left" not in notice.text

    def test_a_button_leads_to_the_site(self, deployment: Deployment, bot: BotApiStandIn) -> None:
        with variant_api(deployment, bot, WEB_APP_URL="https://manga.example") as api:
            chat = new_chat()
            make_ending(api.app, HOUR, telegram_id=chat)
            run(api.app)
            api.deliver()
            (button,) = api.bot.wait_for_message(chat, timeout=30).buttons
            assert button["url"].startswith("https://manga.example")

    def test_what_was_missed_while_the_system_was_down_is_not_told_late(self, app: App) -> None:
        user_id = make_ending(app, HOUR)
        run(app)
        assert kinds(app, user_id) == ["subscription_one_day"]

    @pytest.mark.parametrize(("past", "expected"), [(2 * DAY, 1), (4 * DAY, 0), (900 * DAY, 0)])
    def test_an_end_is_made_up_for_within_three_days(
        self, app: App, past: timedelta, expected: int
    ) -> None:
        user_id = make_ending(app, -past)
        run(app)
        assert kinds(app, user_id) == ["subscription_ended"] * expected

    def test_paying_makes_a_new_end_and_new_notices(self, app: App) -> None:
        user_id = make_ending(app, 2 * DAY)
        run(app)
        end = subscribe(app, user_id)
        run(app)
        assert kinds(app, user_id) == ["subscription_three_days"]
        with at(end - 2 * DAY):
            run(app)
        assert kinds(app, user_id) == ["subscription_three_days"] * 2

    def test_a_gift_of_one_day_does_not_end_within_a_day_at_once(self, app: App) -> None:
        user_id = make_user(app)
        end = subscribe(app, user_id, 1)
        run(app)
        assert kinds(app, user_id) == []
        with at(end):
            run(app)
        assert kinds(app, user_id) == ["subscription_ended"]

    def test_banned_users_are_passed_over(self, app: App) -> None:
        banned, other = (
            make_ending(app, DAY, banned_at=clock.now()),
            make_ending(app, DAY + HOUR),
        )
        run(app)
        assert (kinds(app, banned), kinds(app, other)) == ([], ["subscription_three_days"])
        assert count(app, SubscriptionNotice) == 1

    def test_without_telegram_the_inbox_has_it(self, app: App) -> None:
        user_id = make_ending(app, HOUR, telegram_id=None)
        run(app)
        assert [row.channel for row in rows(app, Notification)] == ["in_app"]
        assert kinds(app, user_id) == ["subscription_one_day"]

    def test_those_passed_over_do_not_keep_others_from_being_told(
        self, app: App, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(service, "NOTICE_BATCH", 3)
        banned = [make_ending(app, HOUR, banned_at=clock.now()) for _ in range(7)]
        users = [make_ending(app, 2 * HOUR) for _ in range(7)]
        run(app)
        assert [kinds(app, user_id) for user_id in users] == [["subscription_one_day"]] * 7
        assert [kinds(app, user_id) for user_id in banned] == [[]] * 7

    def test_20_users_cost_few_more_reads_than_one(self, app: App) -> None:
        costs = []
        for number in (1, 20):
            for _ in range(number):
                make_ending(app, HOUR)
            with counted_queries(app) as statements:
                run(app)
            costs.append(len([s for s in statements if s.lstrip().startswith("SELECT")]))
        assert costs[1] <= costs[0] + 1

    def test_ten_runs_at_once_tell_once(self, pg_app: App) -> None:
        users = [make_ending(pg_app, HOUR) for _ in range(30)]
        at_once(10, lambda _: run(pg_app))
        assert [kinds(pg_app, user_id) for user_id in users] == [["subscription_one_day"]] * 30
        assert count(pg_app, Notification, Notification.channel == "telegram") == 30

    def test_payments_and_runs_at_once_do_not_lock_each_other_up(self, pg_app: App) -> None:
        users = [make_ending(pg_app, HOUR) for _ in range(8)]

        def act(number: int) -> None:
            if number % 2:
                run(pg_app)
            else:
                subscribe(pg_app, users[number], 30 + number)

        at_once(8, act)
        run(pg_app)
        for number, user_id in enumerate(users):
            expected = {"subscription_one_day"} if number % 2 else {"subscription_one_day", None}
            assert set(kinds(pg_app, user_id) or [None]) <= expected

    def test_reads_by_the_index_on_the_end(self, pg_app: App) -> None:
        seen: list[tuple[str, Any]] = []

        def note(_conn: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
            seen.append((statement, parameters))

        with at_work(pg_app) as current:
            event.listen(db.engine, "before_cursor_execute", note)
            queries.lock_untold_ends(clock.now(), None, 200)
            event.remove(db.engine, "before_cursor_execute", note)
            ((statement, parameters),) = seen
            connection = current.connection()
            connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
            plan = connection.exec_driver_sql(f"EXPLAIN {statement}", parameters).scalars().all()
        assert any("ix_subscriptions_expires_at" in line for line in plan), plan


class TestPurge:
    def test_forgets_notices_of_ends_60_days_past(self, app: App) -> None:
        user_id = make_ending(app, HOUR)
        run(app)
        end = end_of(app, user_id)
        for days, left in ((59, 1), (61, 0)):
            with at(end + days * DAY), app.app_context():
                jobs.purge_notices()
                run(app)
            assert count(app, SubscriptionNotice) == left
        assert len(kinds(app, user_id)) == 1


def test_the_leader_tells_every_five_minutes(app: App) -> None:
    with app.app_context():
        every = {name: schedule.every for name, schedule in schedules.items()}
    assert every["memberships.tell_ends"] == timedelta(minutes=5)
    assert every["memberships.purge_notices"] == DAY
