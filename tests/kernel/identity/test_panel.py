"""The panel's cookie and the API's tokens are kept apart."""

from __future__ import annotations

import re
from typing import Any

import pytest
from sqlalchemy import select
from werkzeug.test import TestResponse

from manga_backend.kernel.backoffice.models import AuditEntry
from manga_backend.kernel.backoffice.types import CLI
from manga_backend.kernel.identity.service import accounts
from manga_backend.kernel.identity.types import Role
from manga_backend.kit.db import db, transaction
from tests.conftest import Deployment
from tests.kernel.identity.conftest import is_live, is_refused
from tests.standins.telegram import BotApiStandIn
from tests.support import PASSWORD, Api, Reader
from tests.variants import variant_api

SIGN_IN = "/admin/sign-in/"


def csrf(page: str) -> str:
    found = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', page)
    assert found, page
    return found.group(1)


def enter(api: Api, username: str, password: str = PASSWORD) -> tuple[Any, TestResponse]:
    """A browser that filled in the form, and what it got."""
    browser = api.client()
    token = csrf(browser.get(SIGN_IN).text)
    form = {"username": username, "password": password, "csrf_token": token}
    return browser, browser.post(SIGN_IN, data=form)


class TestSignIn:
    def test_staff_get_in(self, api: Api) -> None:
        browser, answer = enter(api, api.staff(Role.ADMIN).username)
        assert (answer.status_code, answer.headers["Location"]) == (302, "/admin/")
        assert browser.get("/admin/").status_code == 200

    def test_reader_is_told_as_if_the_password_were_wrong(self, api: Api) -> None:
        reader = api.reader()
        _, right = enter(api, reader.username)
        _, wrong = enter(api, reader.username, "wrong password")
        assert (right.status_code, wrong.status_code) == (401, 401)
        assert "The username or the password is wrong." in right.text
        assert "The username or the password is wrong." in wrong.text

    def test_without_its_csrf_token_is_refused(self, api: Api) -> None:
        form = {"username": api.staff().username, "password": PASSWORD}
        assert api.client().post(SIGN_IN, data=form).status_code == 400

    def test_is_in_the_audit_log_and_so_is_a_refusal(self, api: Api) -> None:
        admin = api.staff(Role.ADMIN)
        enter(api, admin.username, "wrong password")
        enter(api, admin.username)
        with api.app.app_context():
            actions = db.session.scalars(select(AuditEntry.action).order_by(AuditEntry.id)).all()
        assert actions[-2:] == ["panel.sign_in_refused", "panel.signed_in"]

    def test_cookie_is_for_the_panel_alone(self, api: Api) -> None:
        _, answer = enter(api, api.staff(Role.ADMIN).username)
        cookie = answer.headers["Set-Cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=Lax" in cookie
        assert "Path=/admin" in cookie
        assert "Secure" not in cookie

    def test_cookie_is_secure_behind_tls(
        self, on_sqlite: Deployment, bot: BotApiStandIn, lite: Api
    ) -> None:
        with variant_api(on_sqlite, bot, TRUSTED_PROXIES="1") as api:
            answer = api.client().get(SIGN_IN, headers={"X-Forwarded-Proto": "https"})
            assert "Secure" in answer.headers["Set-Cookie"]

    @pytest.mark.parametrize(
        "target", ["https://evil.example", "//evil.example", "/admin/\\evil", "/docs"]
    )
    def test_leads_to_no_other_place(self, lite: Api, target: str) -> None:
        admin, browser = lite.staff(Role.ADMIN), lite.client()
        token = csrf(browser.get(SIGN_IN).text)
        form = {"username": admin.username, "password": PASSWORD, "csrf_token": token}
        answer = browser.post(SIGN_IN, query_string={"next": target}, data=form)
        assert answer.headers["Location"] == "/admin/"


class TestApart:
    def test_cookie_opens_no_api_route(self, api: Api) -> None:
        browser, _ = enter(api, api.staff(Role.ADMIN).username)
        for path in ("/admin/system/stats", "/api/user/status", "/auth/sessions"):
            assert is_refused(browser.get(path), 401, "token_missing")

    def test_token_opens_no_panel_page(self, api: Api) -> None:
        admin = api.staff(Role.ADMIN)
        for path in ("/admin/", "/admin/users/", "/admin/audit/"):
            answer = admin.get(path)
            assert answer.status_code == 302
            assert answer.headers["Location"].startswith(SIGN_IN)

    def test_reader_token_opens_no_admin_route(self, api: Api) -> None:
        reader = api.reader()
        assert is_refused(reader.get("/admin/system/stats"), 403, "forbidden")
        assert reader.get("/admin/users/").status_code == 302

    def test_signing_in_to_one_ends_no_session_of_the_other(self, api: Api) -> None:
        admin = api.staff(Role.ADMIN)
        browser, _ = enter(api, admin.username)
        assert is_live(admin)
        admin.sign_in()
        assert browser.get("/admin/").status_code == 200

    def test_both_are_in_the_list_of_sessions(self, api: Api) -> None:
        admin = api.staff(Role.ADMIN)
        enter(api, admin.username)
        kinds = [each["kind"] for each in admin.get("/auth/sessions").get_json()]
        assert sorted(kinds) == ["panel", "token"]


def is_in(browser: Any) -> bool:
    status = browser.get("/admin/").status_code
    assert status in (200, 302)
    return bool(status == 200)


class TestEnd:
    def sign_out(self, browser: Any) -> None:
        token = csrf(browser.get(SIGN_IN).text)
        assert browser.post("/admin/sign-in/out", data={"csrf_token": token}).status_code == 302

    def test_sign_out_ends_it(self, api: Api) -> None:
        browser, _ = enter(api, api.staff(Role.ADMIN).username)
        cookie = browser.get_cookie("panel", path="/admin").value
        self.sign_out(browser)
        assert not is_in(browser)
        browser.set_cookie("panel", cookie, path="/admin")
        assert not is_in(browser)

    def test_ban_ends_it_at_once(self, api: Api) -> None:
        admin = api.staff(Role.ADMIN)
        browser, _ = enter(api, admin.username)
        user_id = api.user_id(admin)
        with api.app.app_context(), transaction():
            accounts.ban(user_id, CLI, Role.SUPERUSER, None)
        assert not is_in(browser)

    def test_lower_role_ends_it_at_once(self, api: Api) -> None:
        admin: Reader = api.staff(Role.ADMIN)
        browser, _ = enter(api, admin.username)
        user_id = api.user_id(admin)
        with api.app.app_context(), transaction():
            accounts.set_role(user_id, Role.USER, CLI, Role.SUPERUSER)
        assert not is_in(browser)

    def test_forged_cookie_is_nobody(self, lite: Api) -> None:
        browser = lite.client()
        browser.set_cookie("panel", "eyJzaWQiOiJ4In0.x.y", path="/admin")
        assert not is_in(browser)
