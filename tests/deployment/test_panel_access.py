"""Every page of the panel in a real browser: no grave fault of accessibility, in fa and en."""

from __future__ import annotations

from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe

from manga_backend.app import create_app
from manga_backend.kernel.identity.types import Role
from tests.deployment.processes import Web
from tests.deployment.test_panel_browser import Browser, Watched, browser
from tests.deployment.test_workers import sign_up, submit
from tests.products.urgent.factories import executor, person
from tests.standins.telegram import BotApiStandIn
from tests.support import PASSWORD, Api

__all__ = ["browser"]

PAGES = (
    *("", "desk/", "users/", "users/details/?id=1", "users/details/?id=2", "account/", "days/"),
    *("subscriptions/", "payments/", "invoices/", "payouts/", "received/", "accounts/"),
    *("settings/", "transfers/", "wallets/?username=boss", "addresses/", "coupons/", "plans/"),
    *(
        "new-coupons/",
        "plans/new",
        "notifications/",
        "broadcasts/",
        "broadcasts/new",
        "webhooks/",
        "runs/",
    ),
    *("audit/", "audit/details/?id=1"),
    *("urgent-orders/", "urgent-takes/", "urgent-complaints/"),
    *("urgent-reviews/", "urgent-reviews/details/?id=1"),
)
GRAVE = {"serious", "critical"}


@pytest.fixture
def web(settings: dict[str, str], start: Any) -> Web:
    """In Persian."""
    found: Web = start(Web, {**settings, "WEB_CONCURRENCY": "1", "DEFAULT_LANGUAGE": "fa"})
    return found


def take_an_order(settings: dict[str, str], telegram: BotApiStandIn) -> str:
    """Rated and complained about; its id."""
    api = Api(create_app(settings), telegram)
    client, taker = person(api, "Анна"), executor(api, "Борис")
    order = str(client.order()["id"])
    assert taker.take(order).status_code == 200
    client.post("/api/reviews/client", {"order_id": order, "rating": 4, "comment": "Быстро"})
    taker.post("/api/reviews/executor", {"order_id": order, "reason": "Дверь не открыли"})
    return order


@pytest.mark.parametrize(
    ("language", "width", "dark"),
    [("fa", 1280, False), ("fa", 390, True), ("en", 1280, True), ("en", 390, False)],
    ids=["fa-desktop", "fa-phone-dark", "en-desktop-dark", "en-phone"],
)
def test_no_page_has_a_grave_fault(
    browser: Browser,
    web: Web,
    make_admin: Any,
    settings: dict[str, str],
    telegram: BotApiStandIn,
    language: str,
    width: int,
    dark: bool,
) -> None:
    make_admin("boss", Role.SUPERUSER)
    order = take_an_order(settings, telegram)
    token = sign_up(web, 810002)
    submit(web, token)
    watched = Watched(browser, web, width)
    page = watched.page
    page.emulate_media(color_scheme="dark" if dark else "light")
    page.goto(f"{web.url}/admin/")
    faults = faults_of(page, "sign-in")
    page.fill("[name=username]", "boss")
    page.fill("[name=password]", PASSWORD)
    page.press("[name=password]", "Enter")
    page.wait_for_url(f"{web.url}/admin/")
    if language != "fa":
        page.evaluate("document.querySelector('.panel-account details').open = true")
        page.evaluate(f"document.querySelector('button[value={language}]').click()")
        page.wait_for_selector(f"html[lang={language}]")
    for path in (*PAGES, f"urgent-orders/details/?id={order}"):
        answer = page.goto(f"{web.url}/admin/{path}")
        assert answer is not None
        assert answer.status == 200, path
        assert page.locator("html").get_attribute("lang") == language
        assert watched.fits(), path
        faults += faults_of(page, path)
    assert faults == []
    assert watched.complaints == []
    assert watched.foreign == []


def faults_of(page: Any, path: str) -> list[str]:
    """What axe-core finds grave, with the place on the page."""
    found = Axe().run(page, options={"resultTypes": ["violations"]}).response["violations"]
    return [
        f"{path}: {fault['id']} at {node['target']}"
        for fault in found
        if fault["impact"] in GRAVE
        for node in fault["nodes"]
    ]


def test_a_fault_is_seen(browser: Browser) -> None:
    page = browser.new_page()
    page.set_content("<html lang='en'><title>x</title><main><button></button><input></main></html>")
    found = faults_of(page, "made")
    assert any("button-name" in fault for fault in found)
    assert any("label" in fault for fault in found)
