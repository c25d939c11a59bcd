"""Coupons: made by whoever holds the admin secret, redeemed once each, never too often."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from sqlalchemy import update

from manga_backend.kernel.backoffice.models import AuditEntry
from manga_backend.kernel.backoffice.types import CLI
from manga_backend.kernel.money.coupons import service
from manga_backend.kernel.money.coupons.domain import normalised
from manga_backend.kernel.money.coupons.errors import (
    CouponAlreadyUsed,
    CouponExhausted,
    CouponExpired,
    CouponNotFound,
)
from manga_backend.kernel.money.coupons.models import Coupon, CouponBatch, CouponRedemption
from manga_backend.kernel.money.coupons.types import DaysGift
from manga_backend.kernel.money.payments.models import Payment
from manga_backend.kit import clock
from manga_backend.kit.app import App
from manga_backend.kit.db import new_id
from tests.kernel.factories import (
    PLAN,
    at_work,
    count,
    make_coupon,
    make_reader,
    make_readers,
    make_user,
    rows,
)
from tests.support import ADMIN_SECRET, Api, Reader, at_once

SECRET = {"X-Admin-Secret": ADMIN_SECRET}


def redeem(app: App, code: str, user_id: int | None = None) -> DaysGift:
    """Take one use, in a transaction of its own."""
    user_id = user_id or make_user(app)
    with at_work(app):
        return service.redeem(code, user_id, new_id())


def redeem_and_fail(app: App, code: str, user_id: int) -> None:
    with at_work(app):
        service.redeem(code, user_id, new_id())
        raise ZeroDivisionError


def change(app: App, code: str, **values: Any) -> None:
    """What the panel or time does to a coupon."""
    with at_work(app) as current:
        current.execute(update(Coupon).where(Coupon.code == normalised(code)).values(**values))


def only_coupon(app: App) -> Coupon:
    (found,) = rows(app, Coupon)
    coupon: Coupon = found
    return coupon


class TestIssueDays:
    def test_makes_as_many_different_codes_as_asked(self, app: App) -> None:
        with at_work(app):
            batch = service.issue(CLI, DaysGift(PLAN, 7), count=25, note="Nowruz")
            codes = service.codes_of(batch)
        assert len(set(codes)) == 25
        assert all(len(code) == 14 for code in codes)
        (stored,) = rows(app, CouponBatch)
        assert (stored.count, stored.note, stored.created_by) == (25, "Nowruz", "cli")
        assert {(c.days, c.max_uses, c.uses) for c in rows(app, Coupon)} == {(7, 1, 0)}

    def test_the_audit_log_knows_of_it_but_not_the_codes(self, app: App) -> None:
        with at_work(app):
            batch = service.issue(CLI, DaysGift(PLAN, 7), count=2)
            codes = [normalised(code) or "" for code in service.codes_of(batch)]
        (entry,) = rows(app, AuditEntry)
        assert (entry.action, entry.actor, entry.after["count"]) == ("coupon.issued", "cli", 2)
        assert not any(code in str(entry.after) for code in codes)


class TestRedeem:
    def test_gives_the_days_and_counts_the_use(self, app: App) -> None:
        user_id = make_user(app)
        assert redeem(app, make_coupon(app, days=45), user_id) == DaysGift(PLAN, 45)
        assert only_coupon(app).uses == 1
        (redemption,) = rows(app, CouponRedemption)
        assert redemption.user_id == user_id

    def test_takes_the_code_in_lower_case_with_spaces(self, app: App) -> None:
        code = make_coupon(app)
        assert redeem(app, f" {code.lower().replace('-', ' ')} ").days == 30

    @pytest.mark.parametrize("typed", ["0000-0000-0000", "nonsense", "", "x" * 64])
    def test_an_unknown_code_is_not_found(self, app: App, typed: str) -> None:
        make_coupon(app)
        with pytest.raises(CouponNotFound):
            redeem(app, typed)
        assert only_coupon(app).uses == 0

    def test_a_coupon_is_over_at_its_very_moment(self, app: App) -> None:
        end = clock.now() + timedelta(days=1)
        code = make_coupon(app, max_uses=5, expires_at=end)
        with time_machine.travel(end - timedelta(milliseconds=1), tick=False):
            redeem(app, code)
        with time_machine.travel(end, tick=False), pytest.raises(CouponExpired):
            redeem(app, code)
        assert only_coupon(app).uses == 1

    def test_a_coupon_is_not_valid_before_its_time(self, app: App) -> None:
        start = clock.now() + timedelta(hours=1)
        code = make_coupon(app)
        change(app, code, valid_from=start)
        with pytest.raises(CouponExpired):
            redeem(app, code)
        with time_machine.travel(start, tick=False):
            assert redeem(app, code).days == 30

    def test_a_revoked_coupon_is_refused(self, app: App) -> None:
        code = make_coupon(app)
        change(app, code, revoked_at=clock.now())
        with pytest.raises(CouponExpired):
            redeem(app, code)
        assert only_coupon(app).uses == 0

    def test_a_used_up_coupon_is_exhausted(self, app: App) -> None:
        code = make_coupon(app, max_uses=2)
        redeem(app, code)
        redeem(app, code)
        with pytest.raises(CouponExhausted):
            redeem(app, code)
        assert only_coupon(app).uses == 2

    def test_the_same_user_twice_is_refused(self, app: App) -> None:
        code, user_id = make_coupon(app, max_uses=5), make_user(app)
        redeem(app, code, user_id)
        with pytest.raises(CouponAlreadyUsed):
            redeem(app, code, user_id)
        assert only_coupon(app).uses == 1

    def test_whoever_used_it_hears_so_even_when_it_is_used_up_or_over(self, app: App) -> None:
        code, user_id = make_coupon(app), make_user(app)
        redeem(app, code, user_id)
        with pytest.raises(CouponAlreadyUsed):
            redeem(app, code, user_id)
        change(app, code, expires_at=clock.now() - timedelta(days=1))
        with pytest.raises(CouponAlreadyUsed):
            redeem(app, code, user_id)

    def test_a_rolled_back_redemption_leaves_the_use(self, app: App) -> None:
        code, user_id = make_coupon(app), make_user(app)
        with pytest.raises(ZeroDivisionError):
            redeem_and_fail(app, code, user_id)
        assert only_coupon(app).uses == 0
        assert redeem(app, code, user_id).days == 30


class TestRedeemAtOnce:
    def test_50_readers_on_a_coupon_of_3_uses_get_exactly_3(self, pg_api: Api) -> None:
        code = make_coupon(pg_api.app, days=10, max_uses=3)
        readers = make_readers(pg_api, 50)
        answers = at_once(50, lambda n: readers[n].post("/payment/submit", {"coupon_code": code}))
        assert Counter(a.status_code for a in answers) == {200: 3, 422: 47}
        assert {a.get_json()["code"] for a in answers if a.status_code == 422} == {
            "coupon_exhausted"
        }
        assert only_coupon(pg_api.app).uses == 3
        assert count(pg_api.app, CouponRedemption) == 3
        assert count(pg_api.app, Payment) == 3
        winners = [r for r, a in zip(readers, answers, strict=True) if a.status_code == 200]
        assert [w.status()["subscription"]["days_remaining"] for w in winners] == [10, 10, 10]

    def test_one_reader_from_20_threads_gets_it_once(self, pg_api: Api) -> None:
        code = make_coupon(pg_api.app, days=10, max_uses=100)
        reader = make_reader(pg_api)
        answers = at_once(20, lambda _: reader.post("/payment/submit", {"coupon_code": code}))
        assert Counter(a.status_code for a in answers) == {200: 1, 409: 19}
        refused = {a.get_json()["code"] for a in answers if a.status_code == 409}
        assert refused == {"coupon_already_used"}
        assert only_coupon(pg_api.app).uses == 1
        assert reader.status()["subscription"]["days_remaining"] == 10

    def test_pressing_twice_on_a_coupon_of_one_use_says_already_used(self, pg_api: Api) -> None:
        code = make_coupon(pg_api.app)
        reader = make_reader(pg_api)
        answers = at_once(12, lambda _: reader.post("/payment/submit", {"coupon_code": code}))
        codes = Counter(a.get_json().get("code", "given") for a in answers)
        assert codes == {"given": 1, "coupon_already_used": 11}


class TestPaymentByCoupon:
    def test_counts_at_once_and_says_what_it_gave(self, api: Api) -> None:
        reader = make_reader(api)
        answer = reader.post("/payment/submit", {"coupon_code": make_coupon(api.app, days=7)})
        assert answer.status_code == 200
        body = answer.get_json()
        assert set(body) == {"payment_id", "status", "days_added", "expires_at"}
        assert (body["status"], body["days_added"]) == ("approved", 7)
        status = reader.status()
        assert status["subscription"]["expires_at"] == body["expires_at"]
        assert (status["purchases_count"], status["pending_payments"]) == (1, 0)
        assert status["last_payment"]["id"] == body["payment_id"]

    @pytest.mark.parametrize(
        ("spoil", "status", "refusal"),
        [
            (lambda _app, _code: "0000-0000-0000", 404, "coupon_not_found"),
            (
                lambda app, code: change(app, code, expires_at=clock.now()),
                422,
                "coupon_expired",
            ),
            (lambda app, code: redeem(app, code) and None, 422, "coupon_exhausted"),
        ],
    )
    def test_each_refusal_has_its_status_and_word(
        self,
        api: Api,
        spoil: Callable[[App, str], str | None],
        status: int,
        refusal: str,
    ) -> None:
        code = make_coupon(api.app)
        code = spoil(api.app, code) or code
        reader = make_reader(api)
        answer = reader.post("/payment/submit", {"coupon_code": code})
        assert (answer.status_code, answer.get_json()["code"]) == (status, refusal)
        assert reader.status()["subscription"]["active"] is False

    def test_the_days_go_on_top_of_what_was_left(self, api: Api) -> None:
        reader = make_reader(api)
        for _ in range(2):
            reader.post("/payment/submit", {"coupon_code": make_coupon(api.app, days=20)})
        assert reader.status()["subscription"]["days_remaining"] == 40


class TestRoute:
    def make(self, api: Api, body: Any, **headers: str) -> Any:
        return api.post("/admin/system/coupon", body, **(headers or SECRET))

    def test_makes_one_by_default(self, api: Api) -> None:
        answer = self.make(api, {"days": 30})
        assert answer.status_code == 201
        body = answer.get_json()
        assert set(body) == {"code", "codes", "days", "max_uses", "expires_at"}
        assert body["codes"] == [body["code"]]
        assert (body["days"], body["max_uses"], body["expires_at"]) == (30, 1, None)

    def test_makes_a_thousand(self, api: Api) -> None:
        answer = self.make(api, {"days": 1, "count": 1000})
        codes = answer.get_json()["codes"]
        assert (answer.status_code, len(set(codes))) == (201, 1000)
        reader: Reader = make_reader(api)
        assert reader.post("/payment/submit", {"coupon_code": codes[-1]}).status_code == 200

    def test_says_the_end_back_in_utc(self, api: Api) -> None:
        answer = self.make(api, {"days": 3650, "expires_at": "2030-01-01T03:30:00+03:30"})
        assert answer.get_json()["expires_at"] == "2030-01-01T00:00:00Z"

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("days", 0),
            ("days", 3651),
            ("days", -1),
            ("days", "30"),
            ("days", 1.5),
            ("days", None),
            ("count", 0),
            ("count", 1001),
            ("max_uses", 0),
            ("expires_at", "tomorrow"),
            ("expires_at", "2030-01-01T00:00:00"),
            ("surprise", 1),
        ],
    )
    def test_bounds_are_kept(self, api: Api, field: str, value: Any) -> None:
        answer = self.make(api, {"days": 30, field: value})
        assert answer.status_code == 400
        assert field in answer.get_json()["errors"]
        assert count(api.app, Coupon) == 0

    def test_days_are_required(self, api: Api) -> None:
        assert "days" in self.make(api, {}).get_json()["errors"]

    @pytest.mark.parametrize("headers", [{"Accept": "*/*"}, {"X-Admin-Secret": ""}])
    def test_without_the_secret_is_401(self, api: Api, headers: dict[str, str]) -> None:
        answer = self.make(api, {"days": 30}, **headers)
        assert answer.status_code == 401
        assert answer.get_json()["code"] == "admin_secret_required"
        assert count(api.app, AuditEntry) == 0

    @pytest.mark.parametrize("secret", ["wrong", ADMIN_SECRET + "x", ADMIN_SECRET[:-1], "é"])
    def test_a_wrong_secret_is_403_and_leaves_an_audit_row(self, api: Api, secret: str) -> None:
        answer = self.make(api, {"days": 30}, **{"X-Admin-Secret": secret})
        assert answer.status_code == 403
        assert answer.get_json()["code"] == "admin_secret_wrong"
        (entry,) = rows(api.app, AuditEntry)
        assert (entry.action, entry.channel.value) == ("admin_secret.wrong", "api")
        assert entry.address == "127.0.0.1"
        assert secret not in f"{entry.before}{entry.after}{entry.subject_id}"
        assert count(api.app, Coupon) == 0

    def test_the_secret_comes_before_the_body(self, api: Api) -> None:
        assert self.make(api, {"days": -5}, **{"X-Admin-Secret": "wrong"}).status_code == 403

    def test_an_admins_token_is_no_secret(self, api: Api) -> None:
        staff = api.staff()
        assert staff.post("/admin/system/coupon", {"days": 30}).status_code == 401
