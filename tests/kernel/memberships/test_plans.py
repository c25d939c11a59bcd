"""Plans and coupons in the panel: what is sold from now on, and what was sold stays."""

from __future__ import annotations

import re

import pytest
from sqlalchemy import select

from manga_backend.kernel.backoffice.models import AuditEntry
from manga_backend.kernel.identity.types import Role
from manga_backend.kernel.memberships.models import Plan
from manga_backend.kernel.money.coupons.models import Coupon
from manga_backend.kernel.money.coupons.types import Gift
from manga_backend.kernel.money.payments.models import Invoice
from tests.kernel.backoffice.test_panel import Panel
from tests.kernel.factories import at_work, make_reader, rows
from tests.support import Api

PLANS = "/admin/plans"
COUPONS = "/admin/new-coupons"


@pytest.fixture
def panel(api: Api) -> Panel:
    return Panel(api, api.staff().username)


def typed(**more: str) -> dict[str, str]:
    return {
        "code": "yearly",
        "product": "manga",
        "name_en": "Yearly",
        "name_fa": "سالانه",
        "days": "365",
        "price": "49.99",
        "currency": "USDT",
        "position": "1",
        "is_on_sale": "1",
        **more,
    }


def plan_of(api: Api, code: str) -> Plan:
    with at_work(api.app) as current:
        return current.get_one(Plan, code)


class TestPlans:
    def test_a_new_one_is_sold_at_once(self, api: Api, panel: Panel) -> None:
        assert "Done." in panel.post(f"{PLANS}/new", **typed()).text
        (found,) = [
            p for p in api.client().get("/api/plans").get_json()["plans"] if p["code"] == "yearly"
        ]
        assert (found["price"], found["currency"], found["days"]) == ("49.99", "USDT", 365)
        assert "Yearly" in panel.get(f"{PLANS}/").text

    def test_a_new_price_is_for_new_invoices(self, api: Api, panel: Panel) -> None:
        reader = make_reader(api)
        reader.submit()
        form = typed(days="30", price="7", name_en="Monthly", is_default="1", position="0")
        form["name_fa"] = str(plan_of(api, "monthly").names["fa"])
        assert "Done." in panel.post(f"{PLANS}/monthly", **form).text
        reader.submit()
        assert [invoice.amount for invoice in rows(api.app, Invoice)] == [5_000_000, 7_000_000]
        (entry,) = rows(api.app, AuditEntry, AuditEntry.action == "plan.changed")
        assert (entry.before["price"], entry.after["price"]) == ("5.00", "7.00")

    def test_the_default_is_one(self, api: Api, panel: Panel) -> None:
        panel.post(f"{PLANS}/new", **typed(is_default="1"))
        assert plan_of(api, "yearly").is_default
        assert not plan_of(api, "monthly").is_default
        assert api.client().get("/api/plans").get_json()["default_plan"] == "yearly"

    def test_not_on_sale_it_cannot_be_bought(self, api: Api, panel: Panel) -> None:
        form = typed()
        del form["is_on_sale"]
        panel.post(f"{PLANS}/new", **form)
        assert make_reader(api).submit(plan="yearly").status_code == 400

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            ({"code": "Ünsinn!"}, "Small letters"),
            ({"code": "monthly"}, "already"),
            ({"price": "0"}, "above zero"),
            ({"price": "1e3"}, "amount such as"),
            ({"price": "5.0000001"}, "amount such as"),
            ({"days": "0"}, "at least 1"),
            ({"days": "x"}, "at least 1"),
            ({"name_en": "", "name_fa": ""}, "at least one language"),
        ],
        ids=str,
    )
    def test_what_is_wrong_is_named_and_nothing_kept(
        self, api: Api, panel: Panel, change: dict[str, str], words: str
    ) -> None:
        answer = panel.post(f"{PLANS}/new", **typed(**change))
        assert answer.status_code == 400
        assert words in answer.text
        assert [plan.code for plan in all_plans(api)] == ["monthly"]

    def test_support_reads_and_changes_nothing(self, api: Api) -> None:
        panel = Panel(api, api.staff(Role.SUPPORT).username)
        assert panel.get(f"{PLANS}/").status_code == 200
        assert panel.get(f"{PLANS}/new").status_code == 403
        assert panel.post(f"{PLANS}/monthly", **typed(code="monthly")).status_code == 403


def all_plans(api: Api) -> list[Plan]:
    with at_work(api.app) as current:
        return list(current.scalars(select(Plan).order_by(Plan.code)))


class TestCoupons:
    def form(self, **more: str) -> dict[str, str]:
        return {"gift": "days", "days": "30", "count": "2", "max_uses": "1", **more}

    def test_credit_and_percent(self, api: Api, panel: Panel) -> None:
        panel.post(f"{COUPONS}/", **self.form(gift="credit", credit="2.50"))
        panel.post(f"{COUPONS}/", **self.form(gift="percent", percent="25"))
        found = [(c.gift, c.credit_amount, c.percent) for c in rows(api.app, Coupon)]
        assert found == [(Gift.CREDIT, 2_500_000, None)] * 2 + [(Gift.PERCENT, None, 25)] * 2

    @pytest.mark.parametrize(
        "change",
        [
            {"gift": "credit", "credit": "0"},
            {"gift": "credit", "credit": "NaN"},
            {"gift": "percent", "percent": "100"},
            {"gift": "percent", "percent": "0"},
            {"gift": "days", "days": ""},
        ],
        ids=str,
    )
    def test_nonsense_makes_none(self, api: Api, panel: Panel, change: dict[str, str]) -> None:
        panel.post(f"{COUPONS}/", **self.form(**change))
        assert rows(api.app, Coupon) == []

    def test_a_batch_is_downloaded_and_revoked(self, api: Api, panel: Panel) -> None:
        panel.post(f"{COUPONS}/", **self.form())
        batch = rows(api.app, Coupon)[0].batch_id
        csv = panel.get(f"{COUPONS}/{batch}.csv")
        lines = csv.text.split("\r\n")
        assert (lines[0], len(lines)) == ("code", 4)
        assert all(re.fullmatch(r"[0-9A-Z]{4}(-[0-9A-Z]{4}){2}", code) for code in lines[1:3])
        assert csv.headers["Content-Disposition"].endswith(f'coupons-{batch}.csv"')
        panel.post(f"{COUPONS}/{batch}/revoke")
        answer = make_reader(api).post("/payment/submit", {"coupon_code": lines[1]})
        assert answer.get_json()["code"] == "coupon_expired"
        assert panel.get(f"{COUPONS}/999999.csv").status_code == 404
