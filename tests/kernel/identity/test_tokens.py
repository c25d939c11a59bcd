"""What counts as a token, and keys that rotate."""

from __future__ import annotations

import base64
import json
import uuid
from datetime import timedelta
from typing import Any

import jwt
import pytest
import time_machine

from manga_backend.kernel.identity.models import Session
from manga_backend.kernel.identity.types import SessionKind
from manga_backend.kit import clock
from manga_backend.kit.db import db, transaction
from tests.conftest import Deployment
from tests.kernel.identity.conftest import (
    KEY,
    claims,
    forge,
    is_refused,
    refresh,
    with_token,
)
from tests.standins.telegram import BotApiStandIn
from tests.support import Api, Reader
from tests.variants import variant_api

NEW_KEY = "n" * 40
FAR = 4_000_000_000


@pytest.fixture(scope="class")
def lite(on_sqlite: Deployment, bot: BotApiStandIn) -> Api:
    """SQLite alone, emptied once for a class: a false token changes nothing."""
    on_sqlite.reset()
    return Api(on_sqlite.app, bot)


@pytest.fixture(scope="class")
def reader(lite: Api) -> Reader:
    return lite.reader()


@pytest.fixture(scope="class")
def good(reader: Reader) -> str:
    token: str = reader.tokens["access_token"]
    return token


def encoded(part: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode()


class TestShape:
    def test_claims_are_the_documented_ones(self, reader: Reader) -> None:
        wanted = {"sub", "sid", "salt", "role", "product", "jti", "iat", "exp", "iss", "aud"}
        for token in (reader.tokens["access_token"], reader.tokens["refresh_token"]):
            assert wanted <= set(claims(token))
            assert jwt.get_unverified_header(token)["alg"] == "HS256"

    def test_subject_is_the_public_id(self, lite: Api, good: str) -> None:
        assert uuid.UUID(claims(good)["sub"])

    def test_lifetimes_are_those_of_the_settings(self, reader: Reader) -> None:
        access, renewal = (claims(reader.tokens[f"{kind}_token"]) for kind in ("access", "refresh"))
        assert access["exp"] - access["iat"] == 3600
        assert renewal["exp"] - renewal["iat"] == 30 * 24 * 3600

    def test_settings_change_the_lifetimes(self, lite: Api, on_sqlite: Deployment) -> None:
        changes = {"JWT_ACCESS_MIN": "5", "JWT_REFRESH_DAYS": "2"}
        with variant_api(on_sqlite, lite.bot, **changes) as api:
            reader = api.reader()
        access, renewal = (claims(reader.tokens[f"{kind}_token"]) for kind in ("access", "refresh"))
        assert access["exp"] - access["iat"] == reader.tokens["expires_in"] == 300
        assert renewal["exp"] - renewal["iat"] == 2 * 24 * 3600


class TestMissing:
    @pytest.mark.parametrize("header", ["", "Bearer", "Bearer ", "Basic eDp5", "Token abc", "abc"])
    def test_no_bearer_token(self, lite: Api, header: str) -> None:
        headers = {"Authorization": header} if header else {}
        answer = lite.client().get("/api/user/status", headers=headers)
        assert is_refused(answer, 401, "token_missing")
        answer = lite.post("/auth/refresh", **headers)
        assert is_refused(answer, 401, "token_missing")

    @pytest.mark.parametrize("scheme", ["bearer", "BEARER", "Bearer "])
    def test_case_of_the_scheme_does_not_matter(self, lite: Api, good: str, scheme: str) -> None:
        headers = {"Authorization": f"{scheme} {good}"}
        assert lite.client().get("/api/user/status", headers=headers).status_code == 200

    def test_other_places_do_not_count(self, lite: Api, good: str) -> None:
        client = lite.client()
        client.set_cookie("access_token_cookie", good)
        for path in (f"/api/user/status?jwt={good}", f"/api/user/status?access_token={good}"):
            assert is_refused(client.get(path), 401, "token_missing")


class TestInvalid:
    @pytest.mark.parametrize(
        "token",
        ["x", "a.b.c", "..", "a.b", "é.é.é", "null", "eyJhbGciOiJIUzI1NiJ9.e30.", "1" * 8000],
    )
    def test_garbage(self, lite: Api, token: str) -> None:
        assert is_refused(with_token(lite, token), 401, "token_invalid")
        assert is_refused(refresh(lite, token), 401, "token_invalid")

    def test_algorithm_none(self, lite: Api, good: str) -> None:
        body = encoded(claims(good))
        for name in ("none", "None", "NONE"):
            header = encoded({"alg": name, "typ": "JWT"})
            for signature in ("", good.rpartition(".")[2]):
                token = f"{header}.{body}.{signature}"
                assert is_refused(with_token(lite, token), 401, "token_invalid")

    @pytest.mark.parametrize("algorithm", ["HS384", "HS512"])
    def test_other_algorithm_with_the_right_key(self, lite: Api, good: str, algorithm: str) -> None:
        long_key = KEY  # pyjwt asks for longer keys than ours with these
        with pytest.warns(jwt.InsecureKeyLengthWarning):
            token = forge(good, long_key, algorithm)
        assert is_refused(with_token(lite, token), 401, "token_invalid")

    def test_wrong_key(self, lite: Api, good: str) -> None:
        assert is_refused(with_token(lite, forge(good, NEW_KEY)), 401, "token_invalid")

    def test_changed_claim_under_the_old_signature(self, lite: Api, good: str) -> None:
        header, _body, signature = good.split(".")
        token = f"{header}.{encoded({**claims(good), 'role': 'superuser'})}.{signature}"
        assert is_refused(with_token(lite, token), 401, "token_invalid")

    def test_forge_itself_makes_good_tokens(self, lite: Api, good: str) -> None:
        assert with_token(lite, forge(good)).status_code == 200

    @pytest.mark.parametrize(
        "changes",
        [
            {"iss": "someone"},
            {"iss": None},
            {"aud": "someone"},
            {"aud": None},
            {"aud": []},
            {"exp": None},
            {"iat": None},
            {"sub": None},
            {"sub": 5},
            {"jti": None},
            {"sid": None},
            {"sid": "x"},
            {"sid": 5},
            {"sid": []},
            {"salt": None},
            {"type": None},
            {"type": "other"},
            {"type": "refresh"},
            {"exp": "soon"},
            {"iat": FAR},
            {"nbf": FAR},
            {"gen": "x"},
            {"gen": []},
        ],
        ids=str,
    )
    def test_claims_that_are_wrong_or_missing(
        self, lite: Api, good: str, changes: dict[str, Any]
    ) -> None:
        answer = with_token(lite, forge(good, **changes))
        assert is_refused(answer, 401, "token_invalid")

    def test_claims_that_are_no_object(self, lite: Api) -> None:
        for body in (b"[]", b'"x"', b"1", b"null", b"{"):
            token = jwt.api_jws.encode(body, KEY, "HS256")
            assert is_refused(with_token(lite, token), 401, "token_invalid")

    def test_refresh_token_is_no_access_token(self, lite: Api, reader: Reader) -> None:
        answer = with_token(lite, reader.tokens["refresh_token"])
        assert is_refused(answer, 401, "token_invalid")

    def test_access_token_is_no_refresh_token(self, lite: Api, good: str) -> None:
        assert is_refused(refresh(lite, good), 401, "token_invalid")

    def test_generation_of_the_future(self, lite: Api, reader: Reader) -> None:
        token = forge(reader.tokens["refresh_token"], gen=7)
        assert is_refused(refresh(lite, token), 401, "token_invalid")
        assert reader.get("/api/user/status").status_code == 200


class TestPanelSession:
    def test_opens_no_route(self, api: Api) -> None:
        reader = api.reader()
        sid = uuid.UUID(claims(reader.tokens["access_token"])["sid"])
        with api.app.app_context(), transaction():
            session = db.session.get(Session, sid)
            assert session is not None
            session.kind = SessionKind.PANEL
        assert is_refused(reader.get("/api/user/status"), 401, "token_invalid")
        answer = refresh(api, reader.tokens["refresh_token"])
        assert is_refused(answer, 401, "token_invalid")


class TestUnknownSession:
    def test_is_revoked(self, api: Api) -> None:
        token = forge(api.reader().tokens["access_token"], sid=uuid.uuid4().hex)
        assert is_refused(with_token(api, token), 401, "session_revoked")


class TestRevoked:
    @pytest.mark.parametrize("kind", ["access", "refresh"])
    @pytest.mark.parametrize("salt", ["", "x", "é", 5])
    def test_other_salt(self, lite: Api, reader: Reader, kind: str, salt: object) -> None:
        token = forge(reader.tokens[f"{kind}_token"], salt=salt)
        answer = with_token(lite, token) if kind == "access" else refresh(lite, token)
        assert is_refused(answer, 401, "session_revoked")
        assert reader.get("/api/user/status").status_code == 200

    def test_subject_of_another_user_changes_nothing(self, lite: Api, reader: Reader) -> None:
        other = lite.reader()
        theirs = claims(other.tokens["access_token"])["sub"]
        answer = with_token(lite, forge(reader.tokens["access_token"], sub=theirs))
        assert answer.status_code == 401 or answer.get_json()["username"] == reader.username


class TestExpired:
    def test_access_token_after_an_hour(self, api: Api) -> None:
        reader = api.reader()
        start = clock.now()
        with time_machine.travel(start + timedelta(minutes=59, seconds=50)):
            assert reader.get("/api/user/status").status_code == 200
        with time_machine.travel(start + timedelta(minutes=60, seconds=10)):
            assert is_refused(reader.get("/api/user/status"), 401, "token_expired")
            assert refresh(api, reader.tokens["refresh_token"]).status_code == 200

    def test_refresh_token_after_thirty_days(self, api: Api) -> None:
        token = api.reader().tokens["refresh_token"]
        with time_machine.travel(clock.now() + timedelta(days=30, seconds=10)):
            assert is_refused(refresh(api, token), 401, "token_expired")

    def test_one_of_a_time_to_come_is_refused_also_where_it_was_taken_before(
        self, api: Api
    ) -> None:
        """The clock was set back: all processes say the same."""
        reader = api.reader()
        assert reader.get("/api/user/status").status_code == 200
        with time_machine.travel(clock.now() - timedelta(hours=1)):
            assert is_refused(reader.get("/api/user/status"), 401, "token_invalid")
        assert reader.get("/api/user/status").status_code == 200


class TestExpiredAndForged:
    def test_one_of_the_wrong_key_is_only_invalid(self, lite: Api, good: str) -> None:
        token = forge(good, NEW_KEY, exp=1)
        assert is_refused(with_token(lite, token), 401, "token_invalid")

    def test_few_seconds_of_skew_are_forgiven(self, lite: Api, good: str) -> None:
        with time_machine.travel(clock.now(), tick=False):
            now = int(clock.now().timestamp())
            assert with_token(lite, forge(good, exp=now - 2)).status_code == 200
            assert is_refused(with_token(lite, forge(good, exp=now - 20)), 401, "token_expired")


class TestKeyRotation:
    def test_nobody_is_signed_out(
        self, api: Api, deployment: Deployment, bot: BotApiStandIn
    ) -> None:
        reader = api.reader()
        keys = f"{NEW_KEY},{KEY}"
        with variant_api(deployment, bot, JWT_SECRET_KEY=keys) as rotated:
            assert with_token(rotated, reader.tokens["access_token"]).status_code == 200
            answer = refresh(rotated, reader.tokens["refresh_token"])
            assert answer.status_code == 200
            for token in (answer.get_json()["access_token"], rotated.sign_in(reader.username)):
                text = token if isinstance(token, str) else token["access_token"]
                assert jwt.decode(text, NEW_KEY, ["HS256"], audience="manga_backend")

    def test_key_that_is_gone_signs_nothing(
        self, api: Api, deployment: Deployment, bot: BotApiStandIn
    ) -> None:
        reader = api.reader()
        with variant_api(deployment, bot, JWT_SECRET_KEY=NEW_KEY) as rotated:
            answer = with_token(rotated, reader.tokens["access_token"])
            assert is_refused(answer, 401, "token_invalid")
            answer = refresh(rotated, reader.tokens["refresh_token"])
            assert is_refused(answer, 401, "token_invalid")


class TestKeysApart:
    def test_token_of_the_new_key_is_refused_where_it_is_not_known(
        self, lite: Api, on_sqlite: Deployment, bot: BotApiStandIn
    ) -> None:
        with variant_api(on_sqlite, bot, JWT_SECRET_KEY=f"{NEW_KEY},{KEY}") as rotated:
            token = rotated.reader().tokens["access_token"]
        assert is_refused(with_token(lite, token), 401, "token_invalid")

    def test_expired_token_of_the_old_key_is_expired(
        self, lite: Api, good: str, on_sqlite: Deployment, bot: BotApiStandIn
    ) -> None:
        with variant_api(on_sqlite, bot, JWT_SECRET_KEY=f"{NEW_KEY},{KEY}") as rotated:
            answer = with_token(rotated, forge(good, exp=1))
            assert is_refused(answer, 401, "token_expired")
