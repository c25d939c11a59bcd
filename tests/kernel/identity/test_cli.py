"""`flask user …`"""

from __future__ import annotations

import pytest
from click.testing import Result
from sqlalchemy import select

from manga_backend.kernel.backoffice.models import AuditEntry
from manga_backend.kernel.identity.queries import find_user_by_username
from manga_backend.kernel.identity.types import Role
from manga_backend.kit.db import db
from tests.kernel.identity.conftest import is_live, is_refused
from tests.support import PASSWORD, Api

OTHER = "another fine password"


def flask(api: Api, *words: str) -> Result:
    """`flask user …`"""
    return api.app.test_cli_runner().invoke(args=["user", *words])


def role_of(api: Api, username: str) -> Role | None:
    with api.app.app_context():
        user = find_user_by_username(username)
        return user.role if user else None


def audit(api: Api) -> list[tuple[str, str]]:
    with api.app.app_context():
        rows = db.session.execute(select(AuditEntry.channel, AuditEntry.action))
        return [(row.channel, row.action) for row in rows]


class TestCreateAdmin:
    def test_opens_an_account_that_signs_in(self, api: Api) -> None:
        done = flask(api, "create-admin", "boss", "--password", PASSWORD)
        assert (done.exit_code, done.output) == (0, "boss (superuser)\n")
        assert role_of(api, "boss") is Role.SUPERUSER
        assert api.sign_in("boss")

    def test_makes_up_a_password_and_shows_it(self, api: Api) -> None:
        done = flask(api, "create-admin", "boss", "--role", "support")
        password = done.output.splitlines()[1].removeprefix("password: ")
        assert len(password) >= 12
        assert api.sign_in("boss", password)
        assert role_of(api, "boss") is Role.SUPPORT

    @pytest.mark.parametrize(
        "words",
        [
            ("ab",),
            ("with space",),
            ("boss\n",),
            ("boss", "--password", "short"),
            ("boss", "--role", "owner"),
        ],
    )
    def test_bad_input_opens_none(self, lite: Api, words: tuple[str, ...]) -> None:
        assert flask(lite, "create-admin", *words).exit_code == 2
        assert role_of(lite, "boss") is None

    def test_taken_name_is_one_line(self, api: Api) -> None:
        reader = api.reader()
        done = flask(api, "create-admin", reader.username.upper())
        assert (done.exit_code, done.output) == (1, "Error: This username is taken.\n")
        assert role_of(api, reader.username) is Role.USER


class TestBan:
    def test_ends_sessions_and_is_lifted(self, api: Api) -> None:
        reader = api.reader()
        assert flask(api, "ban", reader.username, "--reason", "spam").exit_code == 0
        assert is_refused(reader.get("/api/user/status"), 401, "session_revoked")
        body = {"username": reader.username, "password": PASSWORD}
        assert is_refused(api.post("/auth/login", body), 403, "banned")
        assert flask(api, "unban", reader.username).exit_code == 0
        reader.sign_in()
        assert is_live(reader)
        assert audit(api) == [("cli", "user.banned"), ("cli", "user.unbanned")]


class TestSetRole:
    def test_gives_it(self, api: Api) -> None:
        reader = api.reader()
        assert flask(api, "set-role", reader.username, "admin").exit_code == 0
        assert not is_live(reader)
        reader.sign_in()
        assert reader.get("/admin/system/stats").status_code == 200
        assert audit(api) == [("cli", "user.role_changed")]

    def test_unknown_role_is_refused(self, lite: Api) -> None:
        reader = lite.reader()
        assert flask(lite, "set-role", reader.username, "owner").exit_code == 2
        assert role_of(lite, reader.username) is Role.USER


class TestSetPassword:
    def test_sets_it_and_ends_every_session(self, api: Api) -> None:
        reader = api.reader()
        done = flask(api, "set-password", reader.username, "--password", OTHER)
        assert (done.exit_code, done.output) == (0, "done\n")
        assert not is_live(reader)
        assert api.sign_in(reader.username, OTHER)
        assert audit(api) == [("cli", "user.password_set")]

    def test_short_one_changes_nothing(self, lite: Api) -> None:
        reader = lite.reader()
        done = flask(lite, "set-password", reader.username, "--password", "short")
        assert done.exit_code == 2
        assert is_live(reader)


@pytest.mark.parametrize(
    "words", [("ban", "nobody"), ("unban", "nobody"), ("set-role", "nobody", "admin")]
)
def test_unknown_user_is_one_line(lite: Api, words: tuple[str, ...]) -> None:
    done = flask(lite, *words)
    assert (done.exit_code, done.output) == (1, "Error: there is no user 'nobody'\n")
