"""The desk in the panel: what the chain confirms goes at once, and the page knows what is new."""

from __future__ import annotations

import re
from typing import Any

import pytest

from manga_backend.kernel.identity.types import Role
from manga_backend.kernel.money.payments import jobs
from manga_backend.kernel.money.payments.models import Payment
from manga_backend.kernel.money.payments.types import PaymentStatus
from tests.conftest import Deployment
from tests.kernel.backoffice.test_panel import Panel
from tests.kernel.factories import count, make_reader
from tests.kernel.money.payments.conftest import OURS, reading
from tests.standins.chains import TronGridStandIn
from tests.standins.telegram import BotApiStandIn
from tests.support import Api, at_once, counted_queries

APPROVED = Payment.status == PaymentStatus.APPROVED


@pytest.fixture
def grid() -> Any:
    with TronGridStandIn() as running:
        yield running


@pytest.fixture
def desk(deployment: Deployment, bot: BotApiStandIn, grid: TronGridStandIn) -> Any:
    """Three payments that match, one that does not, one that nobody has looked at."""
    with reading(deployment, bot, grid) as api:
        for amount in (5_000_000, 5_000_000, 5_000_000, 4_000_000):
            answer = make_reader(api).submit(grid.transfer(OURS, amount), network="tron")
            assert answer.status_code == 202
        with api.app.app_context():
            jobs.verify_due()
        make_reader(api).submit()
        yield api


def shown(page: str) -> list[str]:
    return re.findall(r'name="shown" value="([0-9a-f-]+)"', page)


def post_all(panel: Panel, ids: list[str]) -> Any:
    data = {"shown": ids, "csrf_token": panel.token_of("/admin/desk/")}
    return panel.client.post("/admin/desk/clear", data=data, follow_redirects=True)


class TestClear:
    def test_all_that_match_go_at_once_and_no_other(self, desk: Api) -> None:
        panel = Panel(desk, desk.staff().username)
        page = panel.get("/admin/desk/").text
        assert "Approve the 3 that the chain confirms" in page
        assert "Approved: 3" in post_all(panel, shown(page)).text
        assert count(desk.app, Payment, APPROVED) == 3
        assert "that the chain confirms" not in panel.get("/admin/desk/").text

    def test_what_was_not_shown_or_does_not_match_is_left_alone(self, desk: Api) -> None:
        panel = Panel(desk, desk.staff().username)
        page = panel.get("/admin/desk/").text
        everything = re.findall(r'aria-labelledby="q-([0-9a-f-]+)"', page)
        assert len(everything) == 5
        assert "Approved: 3" in post_all(panel, everything).text
        assert post_all(panel, ["nonsense"]).status_code == 400

    def test_one_press_and_all_at_once_do_not_lock_each_other_out(self, desk: Api) -> None:
        panels = [Panel(desk, desk.staff().username) for _ in range(3)]
        ids = shown(panels[0].get("/admin/desk/").text)

        def act(number: int) -> int:
            if number == 0:
                return int(post_all(panels[0], ids).status_code)
            path = f"/admin/desk/{ids[-number]}"
            return int(panels[number].post(path, decision="approve").status_code)

        assert at_once(3, act) == [200, 200, 200]
        assert count(desk.app, Payment, APPROVED) == 3

    def test_two_admins_at_once_decide_each_once(self, desk: Api) -> None:
        panels = [Panel(desk, desk.staff().username) for _ in range(2)]
        ids = shown(panels[0].get("/admin/desk/").text)
        at_once(2, lambda number: post_all(panels[number], ids))
        assert count(desk.app, Payment, APPROVED) == 3

    def test_large_sums_are_looked_at_one_by_one(
        self, deployment: Deployment, bot: BotApiStandIn, grid: TronGridStandIn
    ) -> None:
        with reading(deployment, bot, grid, FOUR_EYES_ABOVE="4") as api:
            for _ in range(2):
                make_reader(api).submit(grid.transfer(OURS, 5_000_000), network="tron")
            with api.app.app_context():
                jobs.verify_due()
            page = Panel(api, api.staff().username).get("/admin/desk/").text
            assert shown(page) == []

    def test_costs_the_same_however_many_wait(self, desk: Api) -> None:
        panel = Panel(desk, desk.staff().username)
        panel.get("/admin/desk/")
        with counted_queries(desk.app) as few:
            panel.get("/admin/desk/")
        for _ in range(5):
            make_reader(desk).submit()
        with counted_queries(desk.app) as many:
            panel.get("/admin/desk/")
        assert len(many) == len(few) <= 9

    def test_support_sees_and_does_not_decide(self, desk: Api) -> None:
        panel = Panel(desk, desk.staff(Role.SUPPORT).username)
        page = panel.get("/admin/desk/").text
        assert shown(page) == []
        assert post_all(panel, []).status_code == 403


class TestState:
    def test_changes_when_what_waits_does(self, api: Api) -> None:
        panel = Panel(api, api.staff().username)
        before = panel.get("/admin/desk/state").get_json()["state"]
        assert before in panel.get("/admin/desk/").text
        assert panel.get("/admin/desk/state").get_json()["state"] == before
        make_reader(api).submit()
        assert panel.get("/admin/desk/state").get_json()["state"] != before

    def test_changes_with_what_the_chain_says(
        self, deployment: Deployment, bot: BotApiStandIn, grid: TronGridStandIn
    ) -> None:
        with reading(deployment, bot, grid) as api:
            make_reader(api).submit(grid.transfer(OURS, 5_000_000), network="tron")
            panel = Panel(api, api.staff().username)
            before = panel.get("/admin/desk/state").get_json()["state"]
            with api.app.app_context():
                jobs.verify_due()
            assert panel.get("/admin/desk/state").get_json()["state"] != before
