"""GET /admin/system/stats: the roll-ups say what counting the rows would say."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import time_machine
from sqlalchemy import func, select

from manga_backend.kernel.approvals.types import Decision
from manga_backend.kernel.backoffice.types import CLI
from manga_backend.kernel.identity.models import User
from manga_backend.kernel.identity.service import accounts
from manga_backend.kernel.identity.types import Role
from manga_backend.kernel.memberships import service as memberships
from manga_backend.kernel.memberships.models import Subscription
from manga_backend.kernel.memberships.types import Source
from manga_backend.kernel.money.coupons.models import Coupon, CouponRedemption
from manga_backend.kernel.money.payments.models import Payment
from manga_backend.kernel.money.payments.service.instant import redeem_coupon
from manga_backend.kernel.money.payments.types import PaymentStatus
from manga_backend.kernel.notifications.models import Notification
from manga_backend.kernel.statistics.models import StatisticsBucket, StatisticsTotal
from manga_backend.kernel.statistics.queries import count_active
from manga_backend.kit import clock
from manga_backend.kit.app import App
from manga_backend.kit.money import decimal_string
from manga_backend.kit.problems import DomainError
from tests.kernel.factories import (
    PLAN,
    PRODUCT,
    admin,
    at_work,
    count,
    decide,
    make_coupon,
    make_reader,
    make_user,
    submit,
)
from tests.support import Api, Reader, at_once, counted_queries

TEHRAN = ZoneInfo("Asia/Tehran")
START = datetime(2027, 3, 1, 10, 7, 13, tzinfo=UTC)
MICRO = timedelta(microseconds=1)
WEEK = timedelta(days=7)


def make_admin(api: Api) -> Reader:
    """Someone who may read statistics."""
    return make_reader(api, role=Role.ADMIN)


def stats(reader: Reader, query: str = "") -> dict[str, Any]:
    answer = reader.get(f"/admin/system/stats{query}")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.get_json()
    return found


def counted(app: App) -> dict[str, Any]:
    """The same numbers, from the rows themselves."""
    now = clock.now()
    today = now.astimezone(TEHRAN).date()
    week = {today - timedelta(days=n) for n in range(7)}
    month = [today - timedelta(days=n) for n in range(29, -1, -1)]

    def day(moment: datetime | None) -> date:
        assert moment is not None
        return moment.astimezone(TEHRAN).date()

    with at_work(app) as current:
        users = list(current.scalars(select(User)))
        ends = list(current.scalars(select(Subscription.expires_at)))
        payments = list(current.scalars(select(Payment)))
        notifications = Counter(
            str(status) for status in current.scalars(select(Notification.status))
        )
        issued = current.scalar(select(func.count()).select_from(Coupon))
        redeemed = current.scalar(select(func.count()).select_from(CouponRedemption))
    joined = Counter(day(user.created_at) for user in users)
    approved = [p for p in payments if p.status is PaymentStatus.APPROVED]
    paid = Counter(day(p.decided_at) for p in approved)
    revenue: Counter[date] = Counter()
    for payment in approved:
        revenue[day(payment.decided_at)] += payment.amount

    def money(amount: int) -> str:
        return decimal_string(amount, "USDT")

    total = sum(revenue.values())
    return {
        "users": {
            "total": len(users),
            "new_today": joined[today],
            "new_7d": sum(joined[d] for d in week),
            "banned": sum(user.banned_at is not None for user in users),
        },
        "subscriptions": {
            "active": sum(end > now for end in ends),
            "expiring_7d": sum(now < end <= now + WEEK for end in ends),
            "expired": sum(end <= now for end in ends),
        },
        "payments": {
            "pending": sum(p.status is PaymentStatus.PENDING for p in payments),
            "approved": len(approved),
            "rejected": sum(p.status is PaymentStatus.REJECTED for p in payments),
            "by_method": dict(Counter(p.method.value for p in approved)),
        },
        "revenue": {
            "USDT": {
                "total": money(total),
                "today": money(revenue[today]),
                "last_7d": money(sum(revenue[d] for d in week)),
                "last_30d": money(sum(revenue[d] for d in month)),
            }
        }
        if total
        else {},
        "daily": [
            {
                "date": d.isoformat(),
                "users": joined[d],
                "payments": paid[d],
                "revenue": {"USDT": money(revenue[d])} if revenue[d] else {},
            }
            for d in month
        ],
        "coupons": {"issued": issued, "redeemed": redeemed},
        "notifications": {
            "pending": notifications["new"] + notifications["failed"],
            "failed": notifications["dead"],
        },
    }


class Life:
    """What may happen on a site, at random but the same for each seed."""

    def __init__(self, app: App, seed: int) -> None:
        self.app = app
        self.random = random.Random(seed)
        self.users = [make_user(app) for _ in range(3)]
        self.waiting: list[Any] = []
        self.codes: list[str] = []

    def step(self) -> None:
        steps: list[Callable[[], None]] = [
            self.register,
            self.ban,
            self.unban,
            self.submit,
            self.submit,
            self.decide,
            self.decide,
            self.issue,
            self.redeem,
            self.redeem,
            self.give,
        ]
        # A refusal counts as nothing, and that is what the numbers must show.
        with suppress(DomainError):
            self.random.choice(steps)()

    def somebody(self) -> int:
        return self.random.choice(self.users)

    def register(self) -> None:
        self.users.append(make_user(self.app))

    def ban(self) -> None:
        with at_work(self.app):
            accounts.ban(self.somebody(), CLI, Role.SUPERUSER, None)

    def unban(self) -> None:
        with at_work(self.app):
            accounts.unban(self.somebody(), CLI, Role.SUPERUSER)

    def submit(self) -> None:
        self.waiting.append(submit(self.app, self.somebody()))

    def decide(self) -> None:
        if not self.waiting:
            return
        payment = self.waiting.pop(self.random.randrange(len(self.waiting)))
        decide(self.app, payment, self.random.choice(list(Decision)))

    def issue(self) -> None:
        self.codes.append(
            make_coupon(
                self.app,
                days=self.random.randint(1, 60),
                max_uses=self.random.randint(1, 3),
                count=self.random.randint(1, 3),
            )
        )

    def redeem(self) -> None:
        if not self.codes:
            return
        with at_work(self.app):
            redeem_coupon(self.somebody(), self.random.choice(self.codes))

    def give(self) -> None:
        with at_work(self.app):
            days = self.random.choice([-40, -3, 1, 5, 30])
            memberships.give_days(self.somebody(), PRODUCT, days, admin(), "x")


class TestNumbers:
    @pytest.mark.parametrize("seed", [1, 2, 3])
    def test_equal_what_counting_the_rows_gives(self, api: Api, seed: int) -> None:
        with time_machine.travel(START, tick=False) as traveller:
            life = Life(api.app, seed)
            for number in range(90):
                life.step()
                traveller.shift(timedelta(seconds=life.random.randint(0, 80_000)))
                if number in (30, 60, 89):
                    boss = make_admin(api)
                    found = stats(boss)
                    assert found == counted(api.app)
            assert min(found["payments"]["by_method"].values()) >= 3
            assert found["payments"]["rejected"] >= 3
            assert min(found["subscriptions"].values()) >= 0 < found["subscriptions"]["active"]

    def test_of_an_empty_site_are_zero(self, api: Api) -> None:
        boss = make_admin(api)
        found = stats(boss)
        assert found == counted(api.app)
        assert found["users"]["total"] == 1
        assert found["revenue"] == found["payments"]["by_method"] == {}

    def test_a_failed_transaction_counts_nothing(self, app: App) -> None:
        user_id, code = make_user(app), make_coupon(app)
        with pytest.raises(ZeroDivisionError):
            redeem_and_fail(app, user_id, code)
        with at_work(app) as current:
            seen = list(current.scalars(select(StatisticsTotal)))
        assert {row.metric.value: row.value for row in seen} == {
            "users": 1,
            "coupons_issued": 1,
        }

    def test_30_approvals_at_once_keep_the_sums(self, pg_api: Api) -> None:
        app = pg_api.app
        payments = [submit(app, make_user(app)) for _ in range(30)]
        at_once(30, lambda n: decide(app, payments[n], Decision.APPROVE))
        boss = make_admin(pg_api)
        found = stats(boss)
        assert found == counted(app)
        assert found["payments"]["approved"] == found["subscriptions"]["active"] == 30
        assert found["revenue"]["USDT"]["today"] == "150.00"

    def test_everything_at_once_keeps_the_sums(self, pg_api: Api) -> None:
        app = pg_api.app
        users = [make_user(app) for _ in range(6)]
        payments = [submit(app, user) for user in users for _ in range(2)]
        code = make_coupon(app, max_uses=4)

        def act(number: int) -> None:
            try:
                if number % 3 == 0:
                    decision = Decision.APPROVE if number % 2 else Decision.REJECT
                    decide(app, payments[number // 3], decision)
                elif number % 3 == 1:
                    with at_work(app):
                        redeem_coupon(users[number % 6], code)
                else:
                    with at_work(app):
                        memberships.give_days(users[number % 6], PRODUCT, 1, admin(), "x")
            except DomainError:
                return

        at_once(36, act)
        boss = make_admin(pg_api)
        assert stats(boss) == counted(app)

    def test_totals_are_the_sums_of_their_buckets(self, app: App) -> None:
        with time_machine.travel(START, tick=False) as traveller:
            life = Life(app, 9)
            for _ in range(40):
                life.step()
                traveller.shift(timedelta(minutes=life.random.randint(0, 700)))
        with at_work(app) as current:
            totals = current.execute(
                select(StatisticsTotal.metric, StatisticsTotal.label, StatisticsTotal.value)
            )
            sums = current.execute(
                select(
                    StatisticsBucket.metric,
                    StatisticsBucket.label,
                    func.sum(StatisticsBucket.value),
                ).group_by(StatisticsBucket.metric, StatisticsBucket.label)
            )
            assert sorted((m, x, int(v)) for m, x, v in totals) == sorted(
                (m, x, int(v)) for m, x, v in sums
            )


def redeem_and_fail(app: App, user_id: int, code: str) -> None:
    with at_work(app):
        redeem_coupon(user_id, code)
        raise ZeroDivisionError


class TestBoundary:
    """An end anywhere in a half hour, looked at from just before and just after it."""

    @pytest.mark.parametrize(
        "end",
        [
            datetime(2027, 5, 1, 12, tzinfo=UTC),
            datetime(2027, 5, 1, 12, tzinfo=UTC) + MICRO,
            datetime(2027, 5, 1, 12, 29, 59, 999999, tzinfo=UTC),
            datetime(2027, 5, 1, 12, 30, tzinfo=UTC),
            datetime(2027, 5, 1, 12, 14, 3, 500, tzinfo=UTC),
        ],
        ids=str,
    )
    def test_active_expiring_and_expired_are_exact(self, app: App, end: datetime) -> None:
        user_id = make_user(app)
        with time_machine.travel(end - timedelta(days=30), tick=False), at_work(app):
            # travel() keeps microseconds only approximately: say the end exactly.
            memberships.extend(user_id, PRODUCT, PLAN, 30, source=Source.PAYMENT, source_id="p")
        with at_work(app) as current:
            end = current.scalars(select(Subscription.expires_at)).one()
            seen = {
                moment: (count_active(moment), count_active(moment) - count_active(moment + WEEK))
                for moment in (
                    end - WEEK - timedelta(minutes=1),
                    end - WEEK - MICRO,
                    end - WEEK,
                    end - timedelta(hours=1),
                    end - MICRO,
                    end,
                    end + MICRO,
                    end + timedelta(hours=1),
                )
            }
        assert list(seen.values()) == [
            (1, 0),
            (1, 0),
            (1, 1),
            (1, 1),
            (1, 1),
            (0, 0),
            (0, 0),
            (0, 0),
        ]


class TestRoute:
    def test_has_exactly_the_shape_of_two_manga(self, api: Api) -> None:
        boss = make_admin(api)
        decide(api.app, submit(api.app, make_user(api.app)), Decision.APPROVE)
        found = stats(boss)
        assert {key: set(value) for key, value in found.items() if isinstance(value, dict)} == {
            "users": {"total", "new_today", "new_7d", "banned"},
            "subscriptions": {"active", "expiring_7d", "expired"},
            "payments": {"pending", "approved", "rejected", "by_method"},
            "revenue": {"USDT"},
            "coupons": {"issued", "redeemed"},
            "notifications": {"pending", "failed"},
        }
        assert set(found) - {"daily"} == set(found) ^ {"daily"}
        assert found["payments"]["by_method"] == {"crypto": 1}
        assert found["revenue"]["USDT"] == dict.fromkeys(
            ("total", "today", "last_7d", "last_30d"), "5.00"
        )
        assert len(found["daily"]) == 30
        assert set(found["daily"][0]) == {"date", "users", "payments", "revenue"}
        assert found["daily"][-1]["revenue"] == {"USDT": "5.00"}

    def test_a_day_ends_at_midnight_in_tehran(self, api: Api) -> None:
        midnight = datetime(2027, 3, 9, 20, 30, tzinfo=UTC)
        with time_machine.travel(midnight - timedelta(seconds=1), tick=False) as traveller:
            make_user(api.app)
            traveller.move_to(midnight)
            make_user(api.app)
            found = stats(make_admin(api))
        assert [day["users"] for day in found["daily"][-2:]] == [1, 2]
        assert [day["date"] for day in found["daily"][-2:]] == ["2027-03-09", "2027-03-10"]
        assert (found["users"]["new_today"], found["users"]["new_7d"]) == (2, 3)

    def test_from_and_to_choose_the_days(self, api: Api) -> None:
        with time_machine.travel(START, tick=False):
            boss = make_admin(api)
            found = stats(boss, "?from=2027-02-27&to=2027-03-02")
            only = stats(boss, "?from=2027-03-01&to=2027-03-01")
        assert [day["date"] for day in found["daily"]] == [
            "2027-02-27",
            "2027-02-28",
            "2027-03-01",
            "2027-03-02",
        ]
        assert [day["users"] for day in found["daily"]] == [0, 0, 1, 0]
        assert [day["users"] for day in only["daily"]] == [1]

    @pytest.mark.parametrize(
        "query",
        [
            "?from=yesterday",
            "?from=2027-03-02&to=2027-03-01",
            "?from=2020-01-01&to=2027-01-01",
            "?to=1999-01-01",
            "?from=2027-13-01",
        ],
    )
    def test_other_days_are_400(self, api: Api, query: str) -> None:
        assert make_admin(api).get(f"/admin/system/stats{query}").status_code == 400

    @pytest.mark.parametrize("role", [Role.USER, Role.SUPPORT])
    def test_is_for_admins(self, api: Api, role: Role) -> None:
        answer = make_reader(api, role=role).get("/admin/system/stats")
        assert (answer.status_code, answer.get_json()["code"]) == (403, "forbidden")
        assert api.client().get("/admin/system/stats").status_code == 401

    def test_costs_the_same_however_much_there_is(self, api: Api) -> None:
        boss = make_admin(api)
        with counted_queries(api.app) as few:
            stats(boss)
        for _ in range(12):
            decide(api.app, submit(api.app, make_user(api.app)), Decision.APPROVE)
        with counted_queries(api.app) as many:
            stats(boss, "?from=2026-01-01&to=2026-12-31")
        assert len(few) == len(many)
        assert count(api.app, User) == 13
