"""The panel in a real browser: an admin's morning, in Persian, on a desktop and on a phone."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.deployment.processes import Web
from tests.deployment.test_workers import sign_up, submit
from tests.support import PASSWORD

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = ["--no-sandbox", "--disable-background-networking", "--disable-component-update"]


@pytest.fixture
def browser() -> Iterator[Browser]:
    """Headless Chromium of the system."""
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed")
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield opened
        opened.close()


@pytest.fixture
def web(settings: dict[str, str], start: Any) -> Web:
    """Persian first."""
    found: Web = start(Web, {**settings, "WEB_CONCURRENCY": "1", "DEFAULT_LANGUAGE": "fa"})
    return found


class Watched:
    """A page that remembers every complaint of the browser and every foreign request."""

    def __init__(self, browser: Browser, web: Web, width: int) -> None:
        self.page: Page = browser.new_page(viewport={"width": width, "height": 900})
        self.complaints: list[str] = []
        self.foreign: list[str] = []
        self.page.on("console", self._on_console)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self._on_request(request.url, web.url))

    def _on_console(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(message.text)

    def _on_request(self, url: str, own: str) -> None:
        if not url.startswith((own, "data:")):
            self.foreign.append(url)

    def fits(self) -> bool:
        """Nothing makes the page scroll sideways."""
        return bool(
            self.page.evaluate("document.documentElement.scrollWidth <= window.innerWidth + 1")
        )


def write_to_all(watched: Watched, web: Web) -> None:
    """A broadcast from its draft to its end, which the page shows by itself."""
    page = watched.page
    page.goto(f"{web.url}/admin/broadcasts/new")
    assert watched.fits()
    page.fill("[name=text_fa]", "<b>فصل تازه")
    with page.expect_navigation():
        page.click("form:has([name=text_fa]) [type=submit]")
    assert page.locator("#texts-fa-error").is_visible()  # the tag is not closed
    assert "400" in watched.complaints.pop()
    page.fill("[name=text_fa]", "<b>فصل تازه</b> <i>رسید</i>")
    with page.expect_navigation():
        page.click("form:has([name=text_fa]) [type=submit]")
    assert watched.fits()
    with page.expect_navigation():
        page.click("form[action$='/start'] [type=submit]")
    page.wait_for_selector("section[data-state=finished]", timeout=20_000)
    assert page.locator("[data-number=sent]").inner_text() == "۱"
    assert watched.fits()


@pytest.mark.parametrize("width", [1280, 390], ids=["desktop", "phone"])
def test_an_admins_morning(browser: Browser, web: Web, make_admin: Any, width: int) -> None:
    make_admin("boss")
    token = sign_up(web, 810001)
    first, second = submit(web, token), submit(web, token)
    watched = Watched(browser, web, width)
    page = watched.page
    page.on("dialog", lambda dialog: dialog.accept())  # "Approve this?"

    page.goto(f"{web.url}/admin/")
    assert page.locator("html").get_attribute("dir") == "rtl"
    assert page.locator("html").get_attribute("lang") == "fa"
    page.fill("[name=username]", "boss")
    page.fill("[name=password]", PASSWORD)
    page.click("form:has([name=password]) [type=submit]")
    page.wait_for_url(f"{web.url}/admin/")
    assert watched.fits()

    page.goto(f"{web.url}/admin/desk/")
    assert watched.fits()
    card = page.locator("form[action*='/admin/desk/']").first
    assert first in page.content()
    with page.expect_navigation():
        card.locator("button[value=approve]").click()
    assert first not in page.content()
    assert second in page.content()
    status = web.call("GET", "/api/user/status", token).json()
    assert status["subscription"]["days_remaining"] == 30

    page.goto(f"{web.url}/admin/new-coupons/")
    page.fill("[name=days]", "7")
    page.fill("[name=count]", "2")
    with page.expect_navigation():
        page.click("form:has([name=days]) [type=submit]")
    assert len(set(re.findall(r"[0-9A-Z]{4}(?:-[0-9A-Z]{4}){2}", page.content()))) == 2

    write_to_all(watched, web)
    for view in (
        *("users", "payments", "subscriptions", "coupons", "days", "audit"),
        *("broadcasts", "notifications"),
    ):
        page.goto(f"{web.url}/admin/{view}/")
        assert watched.fits(), view
    page.goto(f"{web.url}/docs")
    page.wait_for_selector(".opblock")
    assert watched.complaints == []
    assert watched.foreign == []


def test_the_desk_takes_keys_and_shows_what_is_new(
    browser: Browser, web: Web, make_admin: Any
) -> None:
    make_admin("boss")
    token = sign_up(web, 810003)
    first, second = submit(web, token), submit(web, token)
    watched = Watched(browser, web, 1280)
    page = watched.page
    page.on("dialog", lambda dialog: dialog.accept())
    page.goto(f"{web.url}/admin/desk/")
    page.fill("[name=username]", "boss")
    page.fill("[name=password]", PASSWORD)
    page.press("[name=password]", "Enter")
    page.wait_for_url(f"{web.url}/admin/desk/")
    page.keyboard.press("j")
    page.keyboard.press("j")
    assert second in page.locator(".question:focus").inner_text()
    page.keyboard.press("k")
    assert first in page.locator(".question:focus").inner_text()
    page.keyboard.press("r")
    assert page.locator("textarea:focus").count() == 1
    page.keyboard.type("a")  # a letter of a reason decides nothing
    assert page.locator(".question").count() == 2
    page.keyboard.press("Escape")
    assert page.locator("details[open]").count() == 0
    assert first in page.locator(".question:focus").inner_text()
    third = submit(web, token)  # from elsewhere, while the page is open
    page.wait_for_selector(f"text={third[:20]}", timeout=20_000)
    page.wait_for_load_state()  # the text is there before the script that takes the keys
    assert first in page.locator(".question:focus").inner_text()
    with page.expect_navigation():
        page.keyboard.press("a")
    assert first not in page.content()
    assert watched.complaints == []
    assert watched.foreign == []
