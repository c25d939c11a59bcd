"""The dashboard's charts, a user's page with everything on it, and scheduled work."""

from __future__ import annotations

import html
import re

import pytest
from sqlalchemy import insert

from manga_backend.kernel.approvals.types import Decision
from manga_backend.kernel.identity.types import Role
from manga_backend.kernel.money.coupons.types import CreditGift
from manga_backend.kernel.notifications.models import Notification
from manga_backend.kernel.notifications.service import delivery
from manga_backend.kernel.notifications.types import Status
from manga_backend.kit import clock
from manga_backend.kit.jobs import ScheduledRun
from tests.kernel.backoffice.test_panel import Panel
from tests.kernel.factories import at_work, decide, make_reader, rows, submit
from tests.kernel.money.payments.test_wallet import make
from tests.support import Api, counted_queries


class TestDashboard:
    def test_shows_a_month_of_what_an_owner_asks_for(self, api: Api) -> None:
        reader = make_reader(api)
        decide(api.app, submit(api.app, api.user_id(reader)), Decision.APPROVE)
        page = Panel(api, api.staff().username).get("/admin/").text
        for title, value in (
            ("New users", "2"),
            ("Revenue, USDT", "5.00"),
            ("Decisions", "1"),
            ("Minutes to a decision, on average", "0"),
            ("Messages not delivered", "0"),
        ):
            assert f'aria-label="{title}: {value}"' in page
        assert page.count("<rect") == 8 * 30  # three of them are urgent orders'

    def test_counts_what_could_not_be_delivered(self, api: Api) -> None:
        decide(api.app, submit(api.app, api.user_id(make_reader(api))), Decision.APPROVE)
        with at_work(api.app):
            claimed = delivery.claim_due(10)
        assert claimed
        with at_work(api.app):
            delivery.record_refused(claimed[0], "Bad Request")
            delivery.record_refused(claimed[0], "Bad Request")  # it was known already
        page = Panel(api, api.staff().username).get("/admin/").text
        assert 'aria-label="Messages not delivered: 1"' in page

    def test_is_in_persian_with_its_days_and_digits(self, api: Api) -> None:
        panel = Panel(api, api.staff().username)
        panel.post("/admin/sign-in/language", language="fa", next="/admin/")
        page = panel.get("/admin/").text
        assert 'aria-label="کاربران تازه: ۱"' in page
        assert "<title>" in page

    def test_support_sees_no_numbers_of_the_business(self, api: Api) -> None:
        page = Panel(api, api.staff(Role.SUPPORT).username).get("/admin/").text
        assert "Revenue" not in page

    def test_costs_the_same_however_much_there_is(self, api: Api) -> None:
        panel = Panel(api, api.staff().username)
        panel.get("/admin/")
        with counted_queries(api.app) as before:
            panel.get("/admin/")
        for _ in range(5):
            decide(api.app, submit(api.app, api.user_id(make_reader(api))), Decision.APPROVE)
        with counted_queries(api.app) as after:
            panel.get("/admin/")
        assert len(after) == len(before)


class TestUserPage:
    def test_has_all_that_is_about_the_user_and_nothing_of_others(self, api: Api) -> None:
        reader, other = make_reader(api), make_reader(api)
        user_id = api.user_id(reader)
        reader.post("/payment/submit", {"coupon_code": make(api, CreditGift(7_000_000, "USDT"))})
        reader.post("/payment/wallet", {})
        strange = submit(api.app, api.user_id(other))
        panel = Panel(api, api.staff(Role.SUPERUSER).username)
        panel.post(f"/admin/users/role/{user_id}", role="support")
        page = panel.get(f"/admin/users/details/?id={user_id}").text
        for words in (
            "Payments",
            "Invoices",
            "Subscriptions",
            "Accounts",
            "Transfers",
            "Audit log",
        ):
            assert f"<h2>{words}</h2>" in page
        assert "2.00 USDT" in page  # what is left in the wallet
        assert "user.role_changed" in page
        assert str(strange) not in page
        assert f"flt3_userid_equals={user_id}" in page

    def test_its_links_lead_to_this_users_rows_or_nowhere(self, api: Api) -> None:
        reader, other = make_reader(api), make_reader(api)
        for one in (reader, other):
            one.post("/payment/submit", {"coupon_code": make(api, CreditGift(7_000_000, "USDT"))})
            one.post("/payment/wallet", {})
        panel = Panel(api, api.staff(Role.SUPERUSER).username)
        page = panel.get(f"/admin/users/details/?id={api.user_id(reader)}").text
        links = re.findall(r'<a href="(/admin/[^"]+)">All of them</a>', page)
        assert links
        for link in links:
            assert "flt" in link
            whole = panel.get(link.partition("?")[0]).text
            narrowed = panel.get(html.unescape(link)).text
            assert narrowed.count("<tr>") < whole.count("<tr>"), link

    def test_support_sees_only_what_it_may(self, api: Api) -> None:
        reader = make_reader(api)
        reader.submit()
        panel = Panel(api, api.staff(Role.SUPPORT).username)
        page = panel.get(f"/admin/users/details/?id={api.user_id(reader)}").text
        assert "<h2>Payments</h2>" in page
        assert "<h2>Audit log</h2>" not in page

    def test_costs_the_same_however_much_there_is(self, api: Api) -> None:
        reader = make_reader(api)
        panel = Panel(api, api.staff().username)
        path = f"/admin/users/details/?id={api.user_id(reader)}"
        reader.submit()
        panel.get(path)
        with counted_queries(api.app) as few:
            panel.get(path)
        for _ in range(2):
            reader.submit()
        with counted_queries(api.app) as many:
            panel.get(path)
        assert len(many) == len(few)


class TestRuns:
    def test_shows_what_ran_and_what_went_wrong(self, api: Api) -> None:
        run = {"name": "a.job", "due_at": clock.now(), "error": "ValueError: <b>no</b>"}
        with at_work(api.app) as current:
            current.execute(insert(ScheduledRun).values(run))
        page = Panel(api, api.staff().username).get("/admin/runs/").text
        assert "a.job" in page
        assert "&lt;b&gt;no" in page

    @pytest.mark.parametrize("role", [Role.SUPPORT])
    def test_is_for_admins(self, api: Api, role: Role) -> None:
        assert Panel(api, api.staff(role).username).get("/admin/runs/").status_code == 403


def test_given_up_messages_stay_to_be_tried_anew(api: Api) -> None:
    decide(api.app, submit(api.app, api.user_id(make_reader(api))), Decision.APPROVE)
    with at_work(api.app):
        claimed = delivery.claim_due(1)
    with at_work(api.app):
        delivery.record_refused(claimed[0], "Bad Request")
    (dead,) = rows(api.app, Notification, Notification.status == Status.DEAD)
    panel = Panel(api, api.staff().username)
    panel.post(f"/admin/notifications/retry/{dead.id}")
    assert rows(api.app, Notification, Notification.id == dead.id)[0].status is Status.NEW
