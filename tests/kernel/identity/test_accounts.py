"""Registration, sign-in, passwords, bans and roles."""

from __future__ import annotations

import threading
import uuid
from typing import Any

import pytest
from argon2 import PasswordHasher
from sqlalchemy import select, update
from werkzeug.test import TestResponse

from manga_backend.kernel.backoffice.models import AuditEntry
from manga_backend.kernel.backoffice.types import CLI
from manga_backend.kernel.identity import domain
from manga_backend.kernel.identity.errors import RoleTooHigh
from manga_backend.kernel.identity.models import User
from manga_backend.kernel.identity.queries import find_user_by_username
from manga_backend.kernel.identity.service import accounts
from manga_backend.kernel.identity.types import Role
from manga_backend.kit import clock
from manga_backend.kit.db import db, transaction
from tests.kernel.identity.conftest import is_live, is_refused
from tests.support import PASSWORD, Api, Reader, at_once

OTHER_PASSWORD = "another fine password"
GOOD = {"username": "reader", "password": PASSWORD, "telegram_id": 700123}


def register(api: Api, **changes: Any) -> TestResponse:
    return api.post("/auth/register", {**GOOD, **changes})


def login(api: Api, username: str, password: str = PASSWORD) -> TestResponse:
    return api.post("/auth/login", {"username": username, "password": password})


def change_user(api: Api, reader: Reader, **values: Any) -> None:
    """Behind the back of every service."""
    with api.app.app_context(), transaction() as current:
        current.execute(update(User).where(User.username == reader.username).values(**values))


def stored_hash(api: Api, username: str) -> str:
    with api.app.app_context():
        user = find_user_by_username(username)
        assert user is not None
        assert user.password_hash is not None
        return user.password_hash


def ban(api: Api, reader: Reader) -> None:
    user_id = api.user_id(reader)
    with api.app.app_context(), transaction():
        accounts.ban(user_id, CLI, Role.SUPERUSER, "spam")


class TestRegister:
    def test_answers_with_the_account(self, api: Api) -> None:
        answer = register(api)
        assert answer.status_code == 201
        body = answer.get_json()
        assert uuid.UUID(body.pop("id"))
        assert body == {"username": "reader", "telegram_id": 700123}

    def test_signs_nobody_in(self, api: Api) -> None:
        assert "token" not in register(api).text

    @pytest.mark.parametrize("again", ["reader", "READER", "Reader"])
    def test_name_is_taken_whatever_its_case(self, api: Api, again: str) -> None:
        register(api)
        assert is_refused(register(api, username=again, telegram_id=1), 409, "username_taken")

    def test_telegram_id_is_taken(self, api: Api) -> None:
        register(api)
        assert is_refused(register(api, username="other"), 409, "telegram_id_taken")

    def test_name_keeps_its_case(self, api: Api) -> None:
        assert register(api, username="ReaDer").get_json()["username"] == "ReaDer"

    def test_refused_one_leaves_nothing_behind(self, api: Api) -> None:
        register(api)
        register(api, username="other")
        assert register(api, username="other", telegram_id=1).status_code == 201

    def test_twenty_at_once_make_one_account(self, api: Api) -> None:
        answers = at_once(20, lambda n: register(api, telegram_id=n + 1))
        assert sorted(a.status_code for a in answers) == [201] + [409] * 19
        codes = {a.get_json()["code"] for a in answers if a.status_code == 409}
        assert codes == {"username_taken"}

    def test_starts_as_a_user_whatever_is_asked(self, lite: Api) -> None:
        assert is_refused(register(lite, role="admin"), 400, "invalid_input")

    def test_keeps_no_password(self, lite: Api) -> None:
        register(lite)
        assert PASSWORD not in stored_hash(lite, "reader")
        assert stored_hash(lite, "reader").startswith("$argon2id$v=19$m=19456,t=2,p=1$")

    @pytest.mark.parametrize(("header", "language"), [("ru-RU,ru;q=0.9", "ru"), ("de", None)])
    def test_keeps_the_language_of_the_browser(
        self, lite: Api, header: str, language: str | None
    ) -> None:
        lite.post("/auth/register", GOOD, **{"Accept-Language": header})
        with lite.app.app_context():
            user = find_user_by_username("reader")
            assert user is not None
            assert user.language == language


class TestBounds:
    @pytest.mark.parametrize(
        ("field", "value"),
        [
            *(("username", name) for name in ("abc", "a" * 32, "A.b_c-9", "---", "192.0.2.1")),
            *(("password", text) for text in ("p" * 8, "p" * 128, "کلمهٔ عبور", " " * 8)),
            *(("telegram_id", number) for number in (1, 2**52)),
        ],
    )
    def test_good(self, lite: Api, field: str, value: object) -> None:
        assert register(lite, **{field: value}).status_code == 201

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            *(("username", name) for name in ("", "ab", "a" * 33, "a b", "a@b", "reader\n")),
            *(("username", name) for name in (" reader", "خواننده", "réader", "ｒeader", None, 5)),
            *(("password", text) for text in ("", "p" * 7, "p" * 129, None, 12345678)),
            *(("telegram_id", number) for number in (0, -1, 2**52 + 1, 10**400, None)),
            *(("telegram_id", number) for number in ("700123", 1.5, 1.0, True, [1])),
        ],
    )
    def test_bad_is_named(self, lite: Api, field: str, value: object) -> None:
        answer = register(lite, **{field: value})
        assert is_refused(answer, 400, "invalid_input")
        assert list(answer.get_json()["errors"]) == [field]

    @pytest.mark.parametrize("field", sorted(GOOD))
    def test_missing_is_named(self, lite: Api, field: str) -> None:
        body = {name: value for name, value in GOOD.items() if name != field}
        answer = lite.post("/auth/register", body)
        assert list(answer.get_json()["errors"]) == [field]


class TestSignIn:
    def test_answers_with_two_tokens(self, api: Api) -> None:
        reader = api.reader()
        assert sorted(reader.tokens) == [
            "access_token",
            "expires_in",
            "refresh_token",
            "token_type",
        ]
        assert reader.tokens["token_type"] == "Bearer"
        assert reader.tokens["expires_in"] == 3600
        assert is_live(reader)

    def test_case_of_the_name_does_not_matter(self, api: Api) -> None:
        api.reader("Reader")
        assert login(api, "rEADER").status_code == 200

    def test_wrong_name_and_wrong_password_are_one_answer(self, api: Api) -> None:
        reader = api.reader()
        answers = [login(api, reader.username, "wrong password"), login(api, "nobody")]
        bodies = []
        for answer in answers:
            assert is_refused(answer, 401, "invalid_credentials")
            bodies.append({k: v for k, v in answer.get_json().items() if k != "request_id"})
        assert bodies[0] == bodies[1]

    def test_both_take_argon2(self, lite: Api, monkeypatch: pytest.MonkeyPatch) -> None:
        reader, hashed = lite.reader(), []

        class Counting(PasswordHasher):
            def verify(self, hash: str | bytes, password: str | bytes) -> Any:
                hashed.append(password)
                return super().verify(hash, password)

        counting = Counting(time_cost=2, memory_cost=19 * 1024, parallelism=1)
        monkeypatch.setattr(domain, "_hasher", counting)
        login(lite, reader.username, "wrong password")
        login(lite, "nobody", "wrong password")
        assert hashed == ["wrong password"] * 2

    def test_password_is_taken_as_it_is(self, lite: Api) -> None:
        reader = lite.reader()
        for wrong in (f" {PASSWORD}", f"{PASSWORD} ", PASSWORD.upper(), PASSWORD[:-1]):
            assert is_refused(login(lite, reader.username, wrong), 401, "invalid_credentials")

    def test_account_without_a_password_takes_none(self, lite: Api) -> None:
        reader = lite.reader()
        change_user(lite, reader, password_hash=None)
        assert is_refused(login(lite, reader.username), 401, "invalid_credentials")
        answer = login(lite, reader.username, "nobody has this password")
        assert is_refused(answer, 401, "invalid_credentials")

    def test_hash_that_is_none_is_a_wrong_password(self, lite: Api) -> None:
        reader = lite.reader()
        change_user(lite, reader, password_hash="!")
        assert is_refused(login(lite, reader.username), 401, "invalid_credentials")


class TestRehash:
    WEAK = PasswordHasher(time_cost=1, memory_cost=8 * 1024, parallelism=1)

    def test_weaker_hash_is_renewed(self, api: Api) -> None:
        reader = api.reader()
        weak = self.WEAK.hash(PASSWORD)
        change_user(api, reader, password_hash=weak)
        reader.sign_in()
        assert "m=19456,t=2,p=1" in stored_hash(api, reader.username)
        assert is_live(reader)
        reader.sign_in()

    def test_wrong_password_renews_nothing(self, lite: Api) -> None:
        reader = lite.reader()
        weak = self.WEAK.hash(PASSWORD)
        change_user(lite, reader, password_hash=weak)
        login(lite, reader.username, "wrong password")
        assert stored_hash(lite, reader.username) == weak

    def test_strong_hash_stays(self, lite: Api) -> None:
        reader = lite.reader()
        before = stored_hash(lite, reader.username)
        reader.sign_in()
        assert stored_hash(lite, reader.username) == before

    def test_all_who_sign_in_at_once_are_let_in(self, pg_api: Api) -> None:
        reader = pg_api.reader()
        change_user(pg_api, reader, password_hash=self.WEAK.hash(PASSWORD))
        answers = at_once(6, lambda _: login(pg_api, reader.username))
        assert [a.status_code for a in answers] == [200] * 6


class TestPasswordChangedMeanwhile:
    """Sign-in checks the password before its transaction begins."""

    @pytest.fixture
    def changed(self, pg_api: Api, monkeypatch: pytest.MonkeyPatch) -> Reader:
        """A reader whose password changes between the check and the lock of the next command."""
        reader = pg_api.reader()
        user_id, lock, changing = pg_api.user_id(reader), accounts.lock_user, threading.Event()

        def change() -> None:
            with pg_api.app.app_context(), transaction():
                accounts.set_password(user_id, OTHER_PASSWORD, CLI)

        def change_and_lock(which: int) -> User:
            if not changing.is_set():
                changing.set()
                other = threading.Thread(target=change)
                other.start()
                other.join()
            return lock(which)

        monkeypatch.setattr(accounts, "lock_user", change_and_lock)
        return reader

    def test_old_password_opens_nothing(self, pg_api: Api, changed: Reader) -> None:
        answer = login(pg_api, changed.username)
        assert is_refused(answer, 401, "invalid_credentials")
        assert login(pg_api, changed.username, OTHER_PASSWORD).status_code == 200

    def test_renewed_hash_is_not_one_of_the_old_password(
        self, pg_api: Api, changed: Reader
    ) -> None:
        change_user(pg_api, changed, password_hash=TestRehash.WEAK.hash(PASSWORD))
        login(pg_api, changed.username)
        assert login(pg_api, changed.username, OTHER_PASSWORD).status_code == 200

    def test_old_password_changes_nothing(self, pg_api: Api, changed: Reader) -> None:
        body = {"current_password": PASSWORD, "new_password": "a third password"}
        answer = changed.post("/auth/password", body)
        assert is_refused(answer, 403, "wrong_password")
        assert login(pg_api, changed.username, OTHER_PASSWORD).status_code == 200


class TestChangePassword:
    def change(self, reader: Reader, current: str, new: str) -> TestResponse:
        return reader.post("/auth/password", {"current_password": current, "new_password": new})

    def test_new_one_counts_and_the_old_one_does_not(self, api: Api) -> None:
        reader = api.reader()
        assert self.change(reader, PASSWORD, OTHER_PASSWORD).status_code == 204
        assert is_refused(login(api, reader.username), 401, "invalid_credentials")
        assert login(api, reader.username, OTHER_PASSWORD).status_code == 200

    def test_this_session_goes_on(self, api: Api) -> None:
        reader = api.reader()
        self.change(reader, PASSWORD, OTHER_PASSWORD)
        assert is_live(reader)

    def test_wrong_current_one_is_refused(self, api: Api) -> None:
        reader = api.reader()
        answer = self.change(reader, "wrong password", OTHER_PASSWORD)
        assert is_refused(answer, 403, "wrong_password")
        assert login(api, reader.username).status_code == 200

    @pytest.mark.parametrize("new", ["short", "p" * 129, ""])
    def test_new_one_has_its_bounds(self, lite: Api, new: str) -> None:
        answer = self.change(lite.reader(), PASSWORD, new)
        assert is_refused(answer, 400, "invalid_input")
        assert list(answer.get_json()["errors"]) == ["new_password"]

    def test_needs_a_session(self, lite: Api) -> None:
        answer = lite.post(
            "/auth/password", {"current_password": PASSWORD, "new_password": OTHER_PASSWORD}
        )
        assert is_refused(answer, 401, "token_missing")


class TestBan:
    def test_next_request_is_refused(self, api: Api) -> None:
        reader = api.reader()
        ban(api, reader)
        assert is_refused(reader.get("/api/user/status"), 401, "session_revoked")

    def test_refresh_is_refused(self, api: Api) -> None:
        reader = api.reader()
        ban(api, reader)
        token = reader.tokens["refresh_token"]
        answer = api.post("/auth/refresh", Authorization=f"Bearer {token}")
        assert is_refused(answer, 401, "session_revoked")

    def test_sign_in_is_refused_with_the_right_password_only(self, api: Api) -> None:
        reader = api.reader()
        ban(api, reader)
        assert is_refused(login(api, reader.username), 403, "banned")
        answer = login(api, reader.username, "wrong password")
        assert is_refused(answer, 401, "invalid_credentials")

    def test_column_alone_is_enough(self, api: Api) -> None:
        reader = api.reader()
        change_user(api, reader, banned_at=clock.now())
        assert is_refused(reader.get("/api/user/status"), 401, "session_revoked")

    def test_lifted_one_lets_in_again_but_brings_no_session_back(self, api: Api) -> None:
        reader = api.reader()
        ban(api, reader)
        user_id = api.user_id(reader)
        with api.app.app_context(), transaction():
            accounts.unban(user_id, CLI, Role.SUPERUSER)
        assert is_refused(reader.get("/api/user/status"), 401, "session_revoked")
        reader.sign_in()
        assert is_live(reader)

    def test_twice_is_noted_once(self, api: Api) -> None:
        reader = api.reader()
        ban(api, reader)
        ban(api, reader)
        with api.app.app_context():
            notes = db.session.scalars(
                select(AuditEntry.after).where(AuditEntry.action == "user.banned")
            ).all()
        assert [note["reason"] for note in notes] == ["spam"]


class TestRole:
    def test_in_the_database_beats_the_one_in_the_token(self, api: Api) -> None:
        admin = api.staff(Role.ADMIN)
        assert admin.get("/admin/system/stats").status_code == 200
        change_user(api, admin, role=Role.USER)
        assert is_refused(admin.get("/admin/system/stats"), 403, "forbidden")

    def test_given_one_counts_at_once(self, api: Api) -> None:
        reader = api.reader()
        change_user(api, reader, role=Role.ADMIN)
        assert reader.get("/admin/system/stats").status_code == 200

    @pytest.mark.parametrize("role", list(Role))
    def test_only_staff_read_the_statistics(self, api: Api, role: Role) -> None:
        someone = api.reader()
        change_user(api, someone, role=role)
        allowed = role in (Role.ADMIN, Role.SUPERUSER)
        status = someone.get("/admin/system/stats").status_code
        assert status == (200 if allowed else 403)

    def test_change_ends_sessions(self, api: Api) -> None:
        reader = api.reader()
        user_id = api.user_id(reader)
        with api.app.app_context(), transaction():
            accounts.set_role(user_id, Role.ADMIN, CLI, Role.SUPERUSER)
        assert is_refused(reader.get("/api/user/status"), 401, "session_revoked")

    @pytest.mark.parametrize(
        ("holder", "given", "by"),
        [
            (Role.USER, Role.SUPERUSER, Role.ADMIN),
            (Role.SUPERUSER, Role.USER, Role.ADMIN),
            (Role.ADMIN, Role.USER, Role.SUPPORT),
        ],
    )
    def test_nobody_reaches_above_themselves(
        self, lite: Api, holder: Role, given: Role, by: Role
    ) -> None:
        reader = lite.reader()
        change_user(lite, reader, role=holder)
        user_id = lite.user_id(reader)
        with lite.app.app_context(), pytest.raises(RoleTooHigh), transaction():
            accounts.set_role(user_id, given, CLI, by)
        assert is_live(reader)
