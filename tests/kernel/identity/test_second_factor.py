"""Authenticators: set up, asked for at the door and before what is dangerous, lost."""

from __future__ import annotations

import re
import uuid
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pyotp
import pytest
import time_machine
from hypothesis import given
from hypothesis import strategies as st

from manga_backend.kernel.backoffice.models import AuditEntry
from manga_backend.kernel.backoffice.types import CLI
from manga_backend.kernel.identity import domain
from manga_backend.kernel.identity.errors import CodeWrong
from manga_backend.kernel.identity.models import RecoveryCode, SecondFactor, User
from manga_backend.kernel.identity.service import accounts, second_factor
from manga_backend.kernel.identity.types import Role
from manga_backend.kit import clock
from tests.kernel.backoffice.test_panel import Panel, csrf_token
from tests.kernel.factories import at_work, count, get_user, make_user, rows
from tests.support import PASSWORD, Api, Reader, at_once

RFC_6238_KEY = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
"""base32 of the ASCII key of RFC 6238, appendix B."""


NO_ID = uuid.UUID(int=7)
UTF8 = st.characters(codec="utf-8")


class TestCodes:
    @pytest.mark.parametrize(
        ("seconds", "code"),
        [
            (59, "287082"),
            (1111111109, "081804"),
            (1111111111, "050471"),
            (1234567890, "005924"),
            (2000000000, "279037"),
            (20000000000, "353130"),
        ],
    )
    def test_are_those_of_the_rfc(self, seconds: int, code: str) -> None:
        moment = datetime.fromtimestamp(seconds, UTC)
        assert domain.totp_step(RFC_6238_KEY, code, moment) == seconds // 30
        assert domain.totp_step(RFC_6238_KEY, code, moment + timedelta(minutes=2)) is None

    def test_persian_digits_and_blanks_are_read(self) -> None:
        moment = datetime.fromtimestamp(59, UTC)
        assert domain.totp_step(RFC_6238_KEY, "۲۸۷ ۰۸۲", moment) == 1

    @given(st.text(max_size=40))
    def test_any_text_is_answered(self, typed: str) -> None:
        domain.totp_step(RFC_6238_KEY, typed, clock.now())
        domain.recovery_hash(typed)

    @given(st.text(UTF8, max_size=60), st.text(UTF8, min_size=1, max_size=60))
    def test_secrets_are_sealed(self, secret: str, key: str) -> None:
        sealed = domain.seal(secret, key)
        assert domain.unseal(sealed, key) == secret
        assert not secret or len(secret) < 4 or secret not in sealed
        with pytest.raises(ValueError):
            domain.unseal(sealed, key + "x")


class Staff:
    """An admin with an authenticator."""

    def __init__(self, api: Api, role: Role = Role.SUPERUSER, username: str | None = None) -> None:
        self.api = api
        self.username = username or api.staff(role).username
        self.panel = Panel(api, self.username)
        page = self.panel.post("/admin/account/authenticator").text
        found = re.search(r'class="code">([A-Z2-7]{32})<', page)
        assert found, page
        self.secret = found[1]
        page = self.panel.post("/admin/account/authenticator/confirm", code=self.code()).text
        self.recovery = re.findall(r"\b[0-9A-Z]{4}(?:-[0-9A-Z]{4}){2}\b", page)

    def code(self, steps: int = 0) -> str:
        moment = clock.now() + timedelta(seconds=30 * steps)
        return pyotp.TOTP(self.secret).at(moment)

    def sign_in(self) -> Any:
        """A browser that has given the password."""
        client = self.api.client()
        token = csrf_token(client.get("/admin/sign-in/").text)
        form = {"username": self.username, "password": PASSWORD, "csrf_token": token}
        return client, client.post("/admin/sign-in/?next=/admin/desk/", data=form)

    def give_code(self, client: Any, code: str) -> Any:
        token = csrf_token(client.get("/admin/sign-in/code").text)
        path = "/admin/sign-in/code?next=/admin/desk/"
        return client.post(path, data={"proof": code, "csrf_token": token})


class TestSettingUp:
    def test_counts_once_the_app_made_a_right_code(self, api: Api) -> None:
        panel = Panel(api, api.staff().username)
        page = panel.post("/admin/account/authenticator").text
        assert "<img" in page
        assert "data:image/svg" in page
        answer = panel.post("/admin/account/authenticator/confirm", code="000000")
        assert "not right" in answer.text
        assert rows_of(api)[0].confirmed_at is None
        other = Panel(api, panel_name(api))
        assert other.signed_in  # nobody is locked out by a half done set-up

    def test_shows_recovery_codes_once_and_keeps_no_secret_in_the_open(self, api: Api) -> None:
        staff = Staff(api)
        assert len(set(staff.recovery)) == 10
        page = staff.panel.get("/admin/account/").text
        assert not set(staff.recovery) & set(re.findall(r"[0-9A-Z-]{14}", page))
        assert staff.secret not in page
        assert staff.secret not in rows_of(api)[0].sealed_secret
        with at_work(api.app) as current:
            audited = str([row.after for row in current.query(AuditEntry)])
        assert staff.secret not in audited

    def test_a_key_that_was_seen_before_is_worthless(self, api: Api) -> None:
        panel = Panel(api, api.staff().username)
        keys = set()
        for _ in range(2):
            page = panel.post("/admin/account/authenticator").text
            keys |= set(re.findall(r'class="code">([A-Z2-7]{32})<', page))
        assert len(keys) == 2

    def test_sessions_that_a_password_alone_opened_end(self, api: Api) -> None:
        name = api.staff().username
        thief, tokens = Panel(api, name), api.sign_in(name)
        staff = Staff(api, username=name)
        assert thief.get("/admin/").status_code == 302
        old = Reader(api, name, 0, tokens)
        assert old.get("/auth/sessions").status_code == 401
        assert staff.panel.get("/admin/").status_code == 200

    def test_a_second_one_is_refused(self, api: Api) -> None:
        staff = Staff(api)
        assert "already" in staff.panel.post("/admin/account/authenticator").text


class TestDoor:
    def test_asks_for_the_code_after_the_password(self, api: Api) -> None:
        staff = Staff(api)
        client, answer = staff.sign_in()
        assert answer.headers["Location"].startswith("/admin/sign-in/code")
        assert client.get("/admin/").status_code == 302
        answer = staff.give_code(client, staff.code(1))
        assert answer.headers["Location"] == "/admin/desk/"
        assert client.get("/admin/desk/").status_code == 200

    def test_a_code_opens_once(self, api: Api) -> None:
        staff = Staff(api)
        code = staff.code(1)
        assert staff.give_code(staff.sign_in()[0], code).status_code == 302
        assert staff.give_code(staff.sign_in()[0], code).status_code == 401
        assert count(api.app, AuditEntry, AuditEntry.action == "panel.code_refused") == 1

    def test_a_recovery_code_opens_once(self, api: Api) -> None:
        staff = Staff(api)
        typed = staff.recovery[3].lower().replace("-", " ")
        assert staff.give_code(staff.sign_in()[0], typed).status_code == 302
        assert staff.give_code(staff.sign_in()[0], typed).status_code == 401
        assert count(api.app, RecoveryCode, RecoveryCode.used_at.is_not(None)) == 1

    def test_the_password_is_good_for_five_minutes(self, api: Api) -> None:
        staff = Staff(api)
        client, _ = staff.sign_in()
        with time_machine.travel(clock.now() + timedelta(minutes=6)):
            answer = client.get("/admin/sign-in/code")
        assert answer.status_code == 302

    def test_not_with_a_password_that_was_changed_meanwhile(self, api: Api) -> None:
        staff = Staff(api)
        client, _ = staff.sign_in()
        user_id = rows_of(api)[0].user_id
        with at_work(api.app):
            accounts.set_password(user_id, "another password", CLI)
        assert staff.give_code(client, staff.code(1)).status_code == 401

    def test_tokens_of_the_api_need_it_as_well(self, api: Api) -> None:
        staff = Staff(api)
        body = {"username": staff.username, "password": PASSWORD}
        answer = api.post("/auth/login", body)
        assert (answer.status_code, answer.get_json()["code"]) == (401, "code_required")
        wrong = api.post("/auth/login", {**body, "code": "000000"})
        assert (wrong.status_code, wrong.get_json()["code"]) == (403, "code_wrong")
        assert api.post("/auth/login", {**body, "code": staff.code(1)}).status_code == 200
        unknown = api.post("/auth/login", {**body, "password": "wrong one"})
        assert unknown.get_json()["code"] == "invalid_credentials"

    def test_without_the_password_no_code_is_taken(self, api: Api) -> None:
        Staff(api)
        client = api.client()
        token = csrf_token(client.get("/admin/sign-in/").text)
        answer = client.post("/admin/sign-in/code", data={"proof": "1", "csrf_token": token})
        assert answer.status_code == 302
        assert "/code" not in answer.headers["Location"]

    def test_whoever_was_banned_meanwhile_stays_outside(self, api: Api) -> None:
        staff = Staff(api)
        client, _ = staff.sign_in()
        staff_id = rows_of(api)[0].user_id
        with at_work(api.app):
            accounts.ban(staff_id, CLI, Role.SUPERUSER, None)
        assert staff.give_code(client, staff.code(1)).status_code == 401

    def test_one_code_in_20_threads_is_taken_once(self, pg_api: Api) -> None:
        user_id = make_user(pg_api.app)
        with at_work(pg_api.app):
            secret = second_factor.begin(user_id)
            code = pyotp.TOTP(secret).at(clock.now())
            second_factor.confirm(user_id, code, CLI, NO_ID)
        later = clock.now() + timedelta(seconds=30)
        code = pyotp.TOTP(secret).at(later)

        def take(_number: int) -> int:
            with suppress(CodeWrong), at_work(pg_api.app):
                second_factor.prove(user_id, code)
                return 1
            return 0

        assert sum(at_once(20, take)) == 1


class TestProof:
    """Ten minutes after whoever holds the session showed who it is, danger asks again."""

    def test_without_an_authenticator_the_password_is_asked_for(self, api: Api) -> None:
        panel = Panel(api, api.staff(Role.SUPERUSER).username)
        target = make_user(api.app)
        with time_machine.travel(clock.now() + timedelta(minutes=11)):
            page = panel.post(f"/admin/users/role/{target}", role="support")
            assert "Confirm that it is you" in page.text
            assert "Password" in page.text
            assert panel.post("/admin/sign-in/confirm", proof="wrong").status_code == 401
            panel.post("/admin/sign-in/confirm", proof=PASSWORD)
            panel.post(f"/admin/users/role/{target}", role="support")
        assert get_user(api.app, target).role is Role.SUPPORT

    def test_with_one_its_code(self, api: Api) -> None:
        staff = Staff(api)
        with time_machine.travel(clock.now() + timedelta(minutes=11)):
            form, path = {"address": ""}, "/admin/addresses/tron"
            assert "authenticator app" in staff.panel.post(path, **form).text
            assert staff.panel.post("/admin/sign-in/confirm", proof=PASSWORD).status_code == 401
            assert staff.panel.post("/admin/sign-in/confirm", proof=staff.code()).status_code == 200
            assert "authenticator app" not in staff.panel.post(path, **form).text

    @pytest.mark.parametrize(
        "path",
        [
            "/admin/wallets/",
            f"/admin/payments/refund/{NO_ID}",
            f"/admin/payouts/paid/{NO_ID}",
            f"/admin/payouts/give-back/{NO_ID}",
            f"/admin/payouts/not-sent/{NO_ID}",
            "/admin/users/role/1",
            "/admin/users/reset-second-factor/1",
            "/admin/account/authenticator/off",
            "/admin/account/recovery-codes",
            "/admin/account/authenticator",
            "/admin/account/authenticator/confirm",
            "/admin/settings/FOUR_EYES_ABOVE",
            "/admin/new-coupons/",
            "/admin/days/",
            "/admin/plans/monthly",
            "/admin/addresses/tron",
        ],
    )
    def test_is_asked_for(self, api: Api, path: str) -> None:
        panel = Panel(api, api.staff(Role.SUPERUSER).username)
        with time_machine.travel(clock.now() + timedelta(minutes=11)):
            assert "Confirm that it is you" in panel.post(path, role="user").text


class TestLost:
    def test_a_superuser_turns_it_off_and_the_sessions_end(self, api: Api) -> None:
        staff = Staff(api, Role.ADMIN)
        user_id = rows_of(api)[0].user_id
        boss = Panel(api, api.staff(Role.SUPERUSER).username)
        assert "Authenticator" in boss.get(f"/admin/users/details/?id={user_id}").text
        boss.post(f"/admin/users/reset-second-factor/{user_id}")
        assert rows_of(api) == []
        assert staff.panel.get("/admin/").status_code == 302
        assert Panel(api, staff.username).signed_in

    def test_an_admin_may_not(self, api: Api) -> None:
        Staff(api)
        user_id = rows_of(api)[0].user_id
        admin = Panel(api, api.staff().username)
        assert admin.post(f"/admin/users/reset-second-factor/{user_id}").status_code == 403

    def test_by_command(self, api: Api) -> None:
        staff = Staff(api)
        runner = api.app.test_cli_runner()
        assert runner.invoke(args=["user", "reset-second-factor", staff.username]).exit_code == 0
        assert rows_of(api) == []

    def test_new_recovery_codes_make_the_old_ones_worthless(self, api: Api) -> None:
        staff = Staff(api)
        page = staff.panel.post("/admin/account/recovery-codes").text
        fresh = re.findall(r"\b[0-9A-Z]{4}(?:-[0-9A-Z]{4}){2}\b", page)
        assert len(fresh) == 10
        assert staff.give_code(staff.sign_in()[0], staff.recovery[0]).status_code == 401
        assert staff.give_code(staff.sign_in()[0], fresh[0]).status_code == 302


class TestSessions:
    def test_are_listed_and_ended(self, api: Api) -> None:
        name = api.staff().username
        mine, other = Panel(api, name), Panel(api, name)
        page = mine.get("/admin/account/").text
        for path in re.findall(r'action="(/admin/account/end-session/[0-9a-f-]+)"', page):
            mine.post(path)
        assert other.get("/admin/").status_code == 302
        assert mine.get("/admin/").status_code == 200

    def test_anothers_is_not_ended(self, api: Api) -> None:
        mine, other = (Panel(api, api.staff().username) for _ in range(2))
        page = Panel(api, panel_name(api)).get("/admin/account/").text
        for path in re.findall(r'action="(/admin/account/end-session/[0-9a-f-]+)"', page):
            mine.post(path)
        assert other.get("/admin/").status_code == 200


def rows_of(api: Api, model: type[Any] = SecondFactor) -> list[Any]:
    with at_work(api.app) as current:
        return list(current.query(model))


def panel_name(api: Api) -> str:
    """The newest member of staff."""
    staff = rows(api.app, User, User.role != Role.USER)
    return str(staff[-1].username)
