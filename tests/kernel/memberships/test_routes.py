"""GET /api/plans: what can be bought, and where to pay."""

from __future__ import annotations

import pytest
from sqlalchemy import update

from manga_backend.kernel.memberships.models import Plan
from manga_backend.kit.app import App
from tests.kernel.factories import at_work, make_reader
from tests.support import ADMIN_SECRET, Api, counted_queries


@pytest.fixture
def more_plans(app: App) -> None:
    """A second plan on sale, one that is not, and one of another product."""
    codes = {"yearly": (365, "manga", True), "old": (7, "manga", False), "vpn-1": (30, "vpn", True)}
    with at_work(app) as current:
        current.add_all(
            Plan(
                code=code,
                product=product,
                names={"en": code, "fa": "سالانه"},
                days=days,
                price=50_000_000,
                currency="USDT",
                is_on_sale=on_sale,
                position=position,
            )
            for position, (code, (days, product, on_sale)) in enumerate(codes.items(), 5)
        )


class TestPlans:
    def test_the_first_migration_puts_in_monthly_the_default(self, api: Api) -> None:
        answer = api.client().get("/api/plans")
        assert answer.status_code == 200
        body = answer.get_json()
        assert set(body) == {"plans", "addresses", "default_plan", "default_network"}
        (plan,) = body["plans"]
        assert plan.pop("name")
        assert plan == {"code": "monthly", "days": 30, "price": "5.00", "currency": "USDT"}
        assert (body["default_plan"], body["default_network"]) == ("monthly", "tron")

    def test_only_networks_with_an_address_are_named(self, api: Api) -> None:
        body = api.client().get("/api/plans").get_json()
        assert body["addresses"] == {"tron": "TQn9Y2khEsLJW1ChVWFMSMeRDow5KcbLSE"}

    @pytest.mark.usefixtures("more_plans")
    def test_what_is_not_on_sale_is_neither_shown_nor_sold(self, api: Api) -> None:
        plans = api.client().get("/api/plans").get_json()["plans"]
        assert [plan["code"] for plan in plans] == ["monthly", "yearly", "vpn-1"]
        reader = make_reader(api)
        assert reader.submit(plan="old").status_code == 400
        assert reader.submit(plan="yearly").status_code == 202

    @pytest.mark.usefixtures("more_plans")
    def test_product_narrows_the_list(self, api: Api) -> None:
        plans = api.client().get("/api/plans?product=vpn").get_json()["plans"]
        assert [plan["code"] for plan in plans] == ["vpn-1"]
        assert api.client().get("/api/plans?product=tea").get_json()["plans"] == []

    @pytest.mark.usefixtures("more_plans")
    def test_names_are_in_the_callers_language(self, api: Api) -> None:
        def names(language: str) -> list[str]:
            answer = api.client().get("/api/plans", headers={"Accept-Language": language})
            return [plan["name"] for plan in answer.get_json()["plans"]]

        assert "سالانه" in names("fa")
        assert "yearly" in names("en")
        assert "yearly" in names("ru")

    def test_no_plan_may_be_the_default(self, api: Api) -> None:
        with at_work(api.app) as current:
            current.execute(update(Plan).values(is_default=False))
        try:
            assert api.client().get("/api/plans").get_json()["default_plan"] is None
            assert make_reader(api).submit().status_code == 400
            answer = api.post(
                "/admin/system/coupon",
                {"days": 1},
                **{"X-Admin-Secret": "admin-secret-admin-secret-admin-secret"},
            )
            assert (answer.status_code, answer.get_json()["code"]) == (422, "no_default_plan")
        finally:
            with at_work(api.app) as current:
                current.execute(update(Plan).values(is_default=True))

    @pytest.mark.usefixtures("more_plans")
    def test_more_plans_cost_no_more_queries(self, api: Api) -> None:
        with counted_queries(api.app) as statements:
            api.client().get("/api/plans")
        assert len([s for s in statements if s.startswith("SELECT")]) == 3


def test_a_coupon_that_is_over_already_is_refused(api: Api) -> None:
    body = {"days": 5, "expires_at": "2020-01-01T00:00:00Z"}
    answer = api.post("/admin/system/coupon", body, **{"X-Admin-Secret": ADMIN_SECRET})
    assert answer.status_code == 400
    assert list(answer.get_json()["errors"]) == ["expires_at"]


def test_another_product_has_no_default_plan(api: Api) -> None:
    answer = api.client().get("/api/plans?product=nope").get_json()
    assert (answer["plans"], answer["default_plan"]) == ([], None)
