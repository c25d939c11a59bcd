"""The panel without a browser: who may open what, and that every form is guarded."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from flask.testing import FlaskClient
from werkzeug.routing import Rule

from manga_backend.kernel.identity.types import Role
from manga_backend.kernel.telegram.service.chats import note_reachability
from manga_backend.kernel.telegram.types import Reachability
from manga_backend.kit import clock
from manga_backend.kit.app import App
from tests.conftest import Deployment
from tests.kernel.factories import at_work
from tests.standins.telegram import BotApiStandIn
from tests.support import PASSWORD, Api, Reader, new_hash
from tests.variants import variant_api

_TOKEN = re.compile(r'name="csrf_token"[^>]*value="([^"]+)"|value="([^"]+)"[^>]*name="csrf_token"')


def csrf_token(page: str) -> str:
    """The token of the first form on a page."""
    found = _TOKEN.search(page)
    assert found, page[:500]
    return found.group(1) or found.group(2)


class Panel:
    """A browser's cookie jar, signed in to the panel."""

    def __init__(self, api: Api, username: str) -> None:
        self.client: FlaskClient = api.client()
        page = self.client.get("/admin/sign-in/")
        self.token = csrf_token(page.text)
        answer = self.client.post(
            "/admin/sign-in/",
            data={"username": username, "password": PASSWORD, "csrf_token": self.token},
        )
        self.signed_in = answer.status_code == 302
        self.refused_with = answer.status_code

    def token_of(self, path: str) -> str:
        """The CSRF token of a page."""
        return csrf_token(self.get(path).text)

    def get(self, path: str) -> Any:
        return self.client.get(path)

    def post(self, path: str, **form: str) -> Any:
        """With the CSRF token that this session's pages carry."""
        token = csrf_token(self.client.get("/admin/").text)
        return self.client.post(path, data={**form, "csrf_token": token}, follow_redirects=True)


def pages(app: App, method: str) -> list[Rule]:
    """Panel routes that take a method, without static files."""
    return [
        rule
        for rule in app.url_map.iter_rules()
        if rule.rule.startswith("/admin")
        and not rule.rule.startswith(("/admin/system", "/admin/static", "/admin/sign-in"))
        and method in (rule.methods or ())
    ]


def address(rule: Rule) -> str:
    """A concrete path of a rule."""
    path = re.sub(r"<int[^:]*:\w+>", "1", rule.rule)
    path = re.sub(r"<uuid:\w+>", "01a1fbd2-027a-7777-9a36-d859180dffde", path)
    return re.sub(r"<\w+>", "csv", path)


class TestSignIn:
    def test_staff_may_enter(self, api: Api) -> None:
        boss = api.staff(Role.SUPERUSER)
        panel = Panel(api, boss.username)
        assert panel.signed_in
        assert panel.get("/admin/").status_code == 200

    def test_a_reader_may_not(self, api: Api) -> None:
        panel = Panel(api, api.reader().username)
        assert panel.refused_with == 401
        assert panel.get("/admin/").status_code == 302

    def test_sign_out_ends_the_session_in_the_database(self, api: Api) -> None:
        panel = Panel(api, api.staff().username)
        kept = panel.client.get_cookie("panel", path="/admin")
        panel.post("/admin/sign-in/out")
        thief = api.client()
        assert kept is not None
        thief.set_cookie("panel", kept.value, path="/admin")
        assert thief.get("/admin/").status_code == 302

    def test_a_banned_admin_is_out_at_once(self, api: Api) -> None:
        admin, boss = api.staff(), api.staff(Role.SUPERUSER)
        panel = Panel(api, admin.username)
        assert panel.get("/admin/desk/").status_code == 200
        Panel(api, boss.username).post(f"/admin/users/ban/{api.user_id(admin)}")
        assert panel.get("/admin/desk/").status_code == 302

    def test_the_way_back_leads_to_no_other_site(self, api: Api) -> None:
        boss = api.staff()
        for evil in ("https://evil.example/", "//evil.example", "/admin/\\evil", "/administrator"):
            client = api.client()
            token = csrf_token(client.get("/admin/sign-in/").text)
            answer = client.post(
                "/admin/sign-in/",
                query_string={"next": evil},
                data={"username": boss.username, "password": PASSWORD, "csrf_token": token},
            )
            assert answer.status_code == 302
            assert answer.location == "/admin/", evil


class TestRights:
    def test_nobody_sees_a_page_without_signing_in(self, api: Api) -> None:
        for rule in pages(api.app, "GET"):
            answer = api.client().get(address(rule))
            assert answer.status_code == 302, rule
            assert "/admin/sign-in/" in answer.location, rule

    def test_a_bearer_token_opens_no_page(self, api: Api) -> None:
        boss = api.staff(Role.SUPERUSER)
        for rule in pages(api.app, "GET"):
            assert boss.get(address(rule)).status_code == 302, rule

    @pytest.mark.parametrize(
        ("role", "refused"),
        [
            (
                Role.SUPPORT,
                {"audit", "subscriptions", "days", "coupons", "new-coupons"},
            ),
            (Role.ADMIN, set()),
            (Role.SUPERUSER, set()),
        ],
    )
    def test_each_role_opens_its_views_and_no_other(
        self, api: Api, role: Role, refused: set[str]
    ) -> None:
        panel = Panel(api, api.staff(role).username)
        for view in (
            *("", "users", "desk", "payments", "coupons", "subscriptions"),
            *("days", "new-coupons", "audit"),
        ):
            answer = panel.get(f"/admin/{view}/" if view else "/admin/")
            assert answer.status_code == (403 if view in refused else 200), view
            assert "text/html" in answer.content_type

    def test_support_may_look_at_the_desk_and_not_decide(self, api: Api) -> None:
        reader = api.reader()
        reader.submit()
        panel = Panel(api, api.staff(Role.SUPPORT).username)
        approval = TestDesk.only_approval(api)
        assert panel.post(f"/admin/desk/{approval}", decision="approve").status_code == 403
        assert reader.status()["purchases_count"] == 0

    def test_support_sees_no_number_of_the_business(self, api: Api) -> None:
        reader = api.reader()
        reader.post("/payment/submit", {"coupon_code": api.coupon()})
        page = Panel(api, api.staff(Role.SUPPORT).username).get("/admin/").text
        assert "Waiting at the desk" in page
        assert "Active subscriptions" not in page

    def test_the_json_api_below_the_panel_has_no_cookie(self, api: Api) -> None:
        boss = api.staff()
        panel = Panel(api, boss.username)
        panel.post("/admin/sign-in/language", language="ru")
        answer = panel.client.get("/admin/system/stats", headers=boss.auth)
        assert answer.status_code == 200
        assert "Set-Cookie" not in answer.headers

    def test_an_admin_changes_no_roles_and_touches_no_superuser(self, api: Api) -> None:
        boss, admin, reader = api.staff(Role.SUPERUSER), api.staff(), api.reader()
        panel = Panel(api, admin.username)
        raised = panel.post(f"/admin/users/role/{api.user_id(reader)}", role="superuser")
        assert raised.status_code == 403
        panel.post(f"/admin/users/ban/{api.user_id(boss)}")
        assert boss.get("/api/user/status").status_code == 200


class TestForms:
    def test_every_post_without_its_csrf_token_is_refused(self, api: Api) -> None:
        panel = Panel(api, api.staff(Role.SUPERUSER).username)
        checked = 0
        for rule in pages(api.app, "POST"):
            answer = panel.client.post(address(rule), data={"decision": "approve"})
            assert answer.status_code == 400, rule
            checked += 1
        assert checked > 10
        assert panel.client.post("/admin/sign-in/out").status_code == 400

    def test_generic_editing_of_tables_is_closed(self, api: Api) -> None:
        panel = Panel(api, api.staff(Role.SUPERUSER).username)
        for view in ("users", "payments", "coupons", "subscriptions", "audit"):
            for way in ("new/", "edit/?id=1"):
                assert panel.get(f"/admin/{view}/{way}").status_code == 302
            panel.post(f"/admin/{view}/delete/", id="1")
            assert panel.post(f"/admin/{view}/ajax/update/", list_form_pk="1").status_code == 404

    def test_text_that_can_not_be_stored_is_refused(self, api: Api) -> None:
        client = api.client()
        token = csrf_token(client.get("/admin/sign-in/").text)
        form = {"username": "a\x00b", "password": PASSWORD, "csrf_token": token}
        assert client.post("/admin/sign-in/", data=form).status_code == 400

    def test_a_number_that_no_key_can_be_is_not_found(self, api: Api) -> None:
        panel = Panel(api, api.staff().username)
        assert panel.post(f"/admin/users/ban/{'9' * 30}").status_code == 404


class TestDesk:
    @staticmethod
    def only_approval(api: Api) -> str:
        page = Panel(api, api.staff(Role.SUPERUSER).username).get("/admin/desk/").text
        found = re.search(r'action="/admin/desk/([0-9a-f-]{36})"', page)
        assert found, page
        return found.group(1)

    def submitted(self, api: Api) -> tuple[Reader, str]:
        reader, tx_hash = api.reader(), new_hash()
        assert reader.submit(tx_hash).status_code == 202
        return reader, tx_hash

    def test_approving_there_does_what_the_button_does(self, api: Api) -> None:
        reader, tx_hash = self.submitted(api)
        panel = Panel(api, api.staff().username)
        assert tx_hash in panel.get("/admin/desk/").text
        panel.post(f"/admin/desk/{self.only_approval(api)}", decision="approve")
        assert reader.status()["subscription"]["days_remaining"] == 30
        assert tx_hash not in panel.get("/admin/desk/").text

    def test_a_reason_reaches_the_reader(self, api: Api) -> None:
        reader, _hash = self.submitted(api)
        panel = Panel(api, api.staff().username)
        form = {"decision": "reject", "reason": "wrong <amount>"}
        panel.post(f"/admin/desk/{self.only_approval(api)}", **form)
        payment = reader.get("/api/payments").get_json()[0]
        assert payment["status"] == "rejected"
        assert payment["reason"] == "wrong <amount>"
        api.deliver()
        told = api.question(reader.telegram_id, "not accepted")
        assert "wrong &lt;amount&gt;" in told.html

    def test_the_second_decision_is_told_who_was_first(self, api: Api) -> None:
        reader, _hash = self.submitted(api)
        first, second = api.staff(), api.staff()
        approval = self.only_approval(api)
        Panel(api, first.username).post(f"/admin/desk/{approval}", decision="approve")
        page = Panel(api, second.username).post(f"/admin/desk/{approval}", decision="reject")
        assert first.username in page.text
        assert reader.status()["purchases_count"] == 1


class TestWork:
    def test_days_are_given_with_a_reason_and_audited(self, api: Api) -> None:
        reader = api.reader()
        panel = Panel(api, api.staff(Role.SUPERUSER).username)
        form = {"username": reader.username, "product": "manga", "days": "7", "reason": "sorry"}
        panel.post("/admin/days/", **form)
        assert reader.status()["subscription"]["days_remaining"] == 7
        assert "subscription.days_given" in panel.get("/admin/audit/").text

    def test_days_without_a_reason_are_refused(self, api: Api) -> None:
        reader = api.reader()
        panel = Panel(api, api.staff().username)
        panel.post("/admin/days/", username=reader.username, product="manga", days="7", reason="")
        assert reader.status()["subscription"]["active"] is False

    def test_coupons_are_made_and_work(self, api: Api) -> None:
        panel = Panel(api, api.staff().username)
        page = panel.post("/admin/new-coupons/", days="10", count="2", max_uses="1").text
        codes = set(re.findall(r"[0-9A-Z]{4}-[0-9A-Z]{4}-[0-9A-Z]{4}", page))
        assert len(codes) == 2
        answer = api.reader().post("/payment/submit", {"coupon_code": codes.pop()})
        assert answer.get_json()["days_added"] == 10

    def test_a_reload_of_the_codes_makes_no_second_batch(self, api: Api) -> None:
        panel = Panel(api, api.staff().username)
        page = panel.post("/admin/new-coupons/", days="10", count="2", max_uses="1")
        assert page.request.method == "GET"
        again = panel.get(f"/admin/new-coupons/?{page.request.query_string.decode()}")
        assert again.text.count("<textarea") == 1
        assert panel.get("/admin/new-coupons/?batch=9999999999999999999999").status_code == 200
        codes = re.findall(
            r"[0-9A-Z]{4}-[0-9A-Z]{4}-[0-9A-Z]{4}", panel.get("/admin/coupons/").text
        )
        assert len(set(codes)) == 2

    def test_a_ban_with_a_reason_and_back(self, api: Api) -> None:
        reader, boss = api.reader(), api.staff()
        panel = Panel(api, boss.username)
        panel.post(f"/admin/users/ban/{api.user_id(reader)}", reason="fraud")
        assert reader.get("/api/user/status").get_json()["code"] == "session_revoked"
        panel.post(f"/admin/users/unban/{api.user_id(reader)}")
        reader.sign_in()
        assert reader.get("/api/user/status").status_code == 200

    def test_tells_whether_the_user_can_be_written_to(self, api: Api) -> None:
        reader, boss = api.reader(), api.staff()
        page = f"/admin/users/details/?id={api.user_id(reader)}"
        panel = Panel(api, boss.username)
        assert "Telegram: not tried yet" in panel.get(page).text
        with at_work(api.app):
            note_reachability(reader.telegram_id, Reachability.BLOCKED)
        assert "Telegram: blocked the bot" in panel.get(page).text

    def test_stored_text_is_harmless(self, api: Api) -> None:
        reader, boss = api.reader(), api.staff()
        panel = Panel(api, boss.username)
        evil = "<script>alert(1)</script>"
        panel.post(f"/admin/users/ban/{api.user_id(reader)}", reason=evil)
        page = panel.get(f"/admin/users/details/?id={api.user_id(reader)}").text
        assert evil not in page
        assert "&lt;script&gt;" in page


class TestRateLimit:
    def test_a_morning_of_clicks_is_no_flood(
        self, deployment: Deployment, bot: BotApiStandIn
    ) -> None:
        """Pages count for the visitor, not for the address; static files do not count at all."""
        boss = Api(deployment.app, bot).staff()
        with variant_api(deployment, bot, RATELIMIT_ENABLED="1") as api:
            panel = Panel(api, boss.username)
            seen = {panel.get("/admin/desk/").status_code for _ in range(70)}
            for _ in range(70):
                with panel.get("/static/backoffice/backoffice.css") as answer:
                    seen.add(answer.status_code)
        assert seen == {200}


def test_after_signing_in_again_a_form_leads_back_to_its_page(api: Api) -> None:
    panel = Panel(api, api.staff().username)
    token = panel.token_of("/admin/desk/")
    with time_machine.travel(clock.now() + timedelta(hours=13)):
        answer = panel.client.post(
            "/admin/desk/clear",
            data={"csrf_token": token},
            headers={"Referer": "http://localhost/admin/desk/"},
        )
        assert answer.headers["Location"].endswith("next=/admin/desk/")
        answer = panel.client.get("/admin/payments/?page=2")
        assert "page" in answer.headers["Location"].partition("next=")[2]
