"""Days are given and taken: once for each payment, audited for each admin."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from itertools import pairwise

import pytest
import time_machine
from sqlalchemy.exc import IntegrityError

from manga_backend.kernel.backoffice.models import AuditEntry
from manga_backend.kernel.identity.service.secret import check_admin_secret
from manga_backend.kernel.memberships import service
from manga_backend.kernel.memberships.errors import NoSubscription
from manga_backend.kernel.memberships.models import Subscription, SubscriptionChange
from manga_backend.kernel.memberships.types import Source
from manga_backend.kernel.notifications.models import Notification
from manga_backend.kernel.statistics.queries import count_active
from manga_backend.kit import clock
from manga_backend.kit.app import App
from manga_backend.kit.clock import isoformat
from tests.kernel.factories import (
    PLAN,
    PRODUCT,
    admin,
    at_work,
    count,
    end_of,
    get_user,
    make_reader,
    make_user,
    rows,
    subscription_of,
    told,
)
from tests.support import Api, at_once

DAY = timedelta(days=1)


def give(app: App, user_id: int, days: int, reason: str = "a gift") -> None:
    """By an admin."""
    with at_work(app):
        service.give_days(user_id, PRODUCT, days, admin(), reason)


def extend(app: App, user_id: int, source_id: str, days: int = 30) -> None:
    """By a payment."""
    with at_work(app):
        service.extend(user_id, PRODUCT, PLAN, days, source=Source.PAYMENT, source_id=source_id)


class TestGiveDays:
    def test_to_someone_without_a_subscription_begins_one(self, app: App) -> None:
        user_id = make_user(app)
        with time_machine.travel(clock.now(), tick=False):
            give(app, user_id, 3)
            found = subscription_of(app, user_id)
            assert found is not None
            assert (found.started_at, found.expires_at) == (clock.now(), clock.now() + 3 * DAY)
            assert found.plan_code == PLAN

    def test_lengthens_what_is_left(self, app: App) -> None:
        user_id = make_user(app)
        give(app, user_id, 3)
        end = end_of(app, user_id)
        give(app, user_id, 4)
        assert end_of(app, user_id) == end + 4 * DAY

    def test_a_negative_number_takes_days_back(self, app: App) -> None:
        user_id = make_user(app)
        give(app, user_id, 10)
        end = end_of(app, user_id)
        give(app, user_id, -4)
        assert end_of(app, user_id) == end - 4 * DAY

    def test_more_than_there_is_ends_the_subscription(self, api: Api) -> None:
        reader = make_reader(api)
        give(api.app, api.user_id(reader), 10)
        assert reader.get("/api/user/access").status_code == 204
        give(api.app, api.user_id(reader), -3650)
        assert reader.get("/api/user/access").status_code == 402
        found = subscription_of(api.app, api.user_id(reader))
        assert found is not None
        assert found.expires_at == found.started_at

    def test_from_nobody_nothing_can_be_taken(self, app: App) -> None:
        user_id = make_user(app)
        with pytest.raises(NoSubscription):
            give(app, user_id, -1)
        assert count(app, Subscription) == count(app, AuditEntry) == count(app, Notification) == 0

    @pytest.mark.parametrize(
        ("days", "action"), [(5, "subscription.days_given"), (-2, "subscription.days_taken")]
    )
    def test_is_audited_with_its_reason(self, app: App, days: int, action: str) -> None:
        user_id = make_user(app)
        give(app, user_id, 10)
        before = end_of(app, user_id)
        give(app, user_id, days, "server was down")
        entry = rows(app, AuditEntry)[-1]
        assert (entry.action, entry.actor) == (action, "telegram:1")
        assert entry.subject_id == str(get_user(app, user_id).public_id)
        assert entry.before == {"product": PRODUCT, "expires_at": isoformat(before)}
        assert entry.after == {
            "product": PRODUCT,
            "expires_at": isoformat(before + days * DAY),
            "days": days,
            "reason": "server was down",
        }
        assert rows(app, SubscriptionChange)[-1].reason == "server was down"

    @pytest.mark.parametrize(
        ("days", "words"), [(5, "5 days were added"), (-2, "2 days were taken")]
    )
    def test_the_user_is_told_with_the_reason_escaped(
        self, api: Api, days: int, words: str
    ) -> None:
        reader = make_reader(api)
        user_id = api.user_id(reader)
        give(api.app, user_id, 10)
        api.deliver()
        first = api.bot.wait_for_message(reader.telegram_id, timeout=30)
        give(api.app, user_id, days, "<i>sorry</i> & thanks")
        api.deliver()
        message = api.bot.wait_for_message(
            reader.telegram_id, timeout=5, after_message_id=first.message_id
        )
        assert words in message.text
        assert "<i>sorry</i> & thanks" in message.text
        assert "&lt;i&gt;sorry" in message.html
        assert [row.kind for row in told(api.app, user_id)] == ["days_changed"] * 2

    def test_20_gifts_at_once_all_count(self, pg_app: App) -> None:
        user_id = make_user(pg_app)
        give(pg_app, user_id, 1)
        end = end_of(pg_app, user_id)
        at_once(20, lambda _: give(pg_app, user_id, 1))
        assert end_of(pg_app, user_id) == end + 20 * DAY
        assert count(pg_app, SubscriptionChange) == 21

    def test_the_audit_log_of_gifts_at_once_tells_an_unbroken_story(self, pg_app: App) -> None:
        user_id = make_user(pg_app)
        give(pg_app, user_id, 1)
        at_once(10, lambda _: give(pg_app, user_id, 1))
        told_ends = [
            (row.before["expires_at"], row.after["expires_at"])
            for row in rows(pg_app, AuditEntry)[1:]
        ]
        for (_, after), (before, _) in pairwise(told_ends):
            assert before == after

    def test_the_first_gifts_at_once_make_one_subscription(self, pg_app: App) -> None:
        user_id = make_user(pg_app)
        at_once(8, lambda _: give(pg_app, user_id, 2))
        assert count(pg_app, Subscription) == 1
        found = subscription_of(pg_app, user_id)
        assert found is not None
        assert found.expires_at - found.started_at == 16 * DAY

    def test_a_gift_and_a_payment_at_once_both_count(self, pg_app: App) -> None:
        user_id = make_user(pg_app)
        give(pg_app, user_id, 1)
        end = end_of(pg_app, user_id)

        def act(number: int) -> None:
            if number % 2:
                give(pg_app, user_id, 1)
            else:
                extend(pg_app, user_id, f"payment {number}", 10)

        at_once(10, act)
        assert end_of(pg_app, user_id) == end + 55 * DAY


class TestExtend:
    def test_once_for_each_payment(self, app: App) -> None:
        user_id = make_user(app)
        extend(app, user_id, "p1")
        end = end_of(app, user_id)
        with pytest.raises(IntegrityError):
            extend(app, user_id, "p1")
        assert end_of(app, user_id) == end
        extend(app, user_id, "p2")
        assert end_of(app, user_id) == end + 30 * DAY

    def test_20_times_at_once_for_one_payment_is_once(self, pg_app: App) -> None:
        user_id = make_user(pg_app)

        def run(_number: int) -> str:
            try:
                extend(pg_app, user_id, "p1")
            except IntegrityError:
                return "refused"
            return "extended"

        assert Counter(at_once(20, run)) == {"extended": 1, "refused": 19}
        assert end_of(pg_app, user_id) <= clock.now() + 30 * DAY
        with at_work(pg_app):
            assert count_active(clock.now()) == 1

    def test_notes_what_changed_and_why(self, app: App) -> None:
        user_id = make_user(app)
        extend(app, user_id, "p1", 7)
        first_end = end_of(app, user_id)
        extend(app, user_id, "p2", 8)
        first, second = rows(app, SubscriptionChange)
        assert (first.expired_before, first.expires_after) == (None, first_end)
        assert (second.expired_before, second.expires_after) == (first_end, first_end + 8 * DAY)
        assert [(c.source, c.source_id, c.days) for c in (first, second)] == [
            (Source.PAYMENT, "p1", 7),
            (Source.PAYMENT, "p2", 8),
        ]


class TestCheckAdminSecret:
    def test_names_the_holder_and_never_the_secret(self, app: App) -> None:
        with at_work(app):
            holder = check_admin_secret("admin-secret-" * 2 + "admin-secret", "10.0.0.9")
        assert holder.key == "admin_secret"
        assert holder.address == "10.0.0.9"
