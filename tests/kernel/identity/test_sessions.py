"""The session rules: with the very next request, on every worker."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import timedelta

import pytest
import time_machine
from sqlalchemy import func, select, update

from manga_backend.kernel.backoffice.types import CLI
from manga_backend.kernel.identity.models import LinkCode, Session
from manga_backend.kernel.identity.service import accounts
from manga_backend.kernel.identity.service.sessions import purge_sessions_and_codes
from manga_backend.kernel.identity.types import EndReason, Role
from manga_backend.kit import clock
from manga_backend.kit.db import db, transaction
from tests.conftest import Deployment
from tests.kernel.identity.conftest import claims, is_live, is_refused, refresh, with_token
from tests.standins.telegram import BotApiStandIn
from tests.support import PASSWORD, Api, Reader, at_once, counted_queries
from tests.variants import variant_api


def live_sessions(api: Api, reader: Reader) -> int:
    user_id = api.user_id(reader)
    with api.app.app_context():
        return (
            db.session.scalar(
                select(func.count())
                .select_from(Session)
                .where(Session.user_id == user_id, Session.ended_at.is_(None))
            )
            or 0
        )


class TestSingleSession:
    def test_second_sign_in_ends_the_first_at_once(self, api: Api) -> None:
        reader = api.reader()
        first = reader.tokens
        reader.sign_in()
        answer = with_token(api, first["access_token"])
        assert is_refused(answer, 401, "session_replaced")
        assert is_refused(refresh(api, first["refresh_token"]), 401, "session_replaced")
        assert is_live(reader)

    def test_another_worker_knows_with_the_very_next_request(
        self, api: Api, deployment: Deployment, bot: BotApiStandIn
    ) -> None:
        with variant_api(deployment, bot) as worker:
            reader = api.reader()
            first = reader.tokens["access_token"]
            assert with_token(worker, first).status_code == 200
            worker.sign_in(reader.username)
            assert is_refused(with_token(api, first), 401, "session_replaced")
            assert is_refused(with_token(worker, first), 401, "session_replaced")

    def test_wrong_password_ends_nothing(self, api: Api) -> None:
        reader = api.reader()
        api.post("/auth/login", {"username": reader.username, "password": "wrong password"})
        assert is_live(reader)

    def test_sessions_of_others_go_on(self, api: Api) -> None:
        one, other = api.reader(), api.reader()
        other.sign_in()
        assert is_live(one)

    def test_each_sign_in_has_a_new_salt_and_session(self, api: Api) -> None:
        reader = api.reader()
        before = claims(reader.tokens["access_token"])
        after = claims(reader.sign_in()["access_token"])
        assert before["salt"] != after["salt"]
        assert before["sid"] != after["sid"]
        assert before["sub"] == after["sub"]

    def test_twenty_at_once_leave_exactly_one(self, api: Api) -> None:
        reader = api.reader()
        tokens = at_once(20, lambda _: api.sign_in(reader.username)["access_token"])
        codes = [with_token(api, token) for token in [reader.tokens["access_token"], *tokens]]
        assert sorted(a.status_code for a in codes) == [200] + [401] * 20
        refused = {a.get_json()["code"] for a in codes if a.status_code == 401}
        assert refused == {"session_replaced"}
        assert live_sessions(api, reader) == 1


class TestMaxSessions:
    @pytest.fixture
    def two(self, deployment: Deployment, bot: BotApiStandIn) -> Iterator[Api]:
        with variant_api(deployment, bot, MAX_SESSIONS="2") as found:
            yield found

    def test_two_live_and_the_oldest_ends(self, two: Api) -> None:
        reader = two.reader()
        tokens = [reader.tokens["access_token"]]
        tokens += [reader.sign_in()["access_token"] for _ in range(2)]
        assert is_refused(with_token(two, tokens[0]), 401, "session_replaced")
        assert [with_token(two, token).status_code for token in tokens[1:]] == [200, 200]

    def test_ended_ones_do_not_count(self, two: Api) -> None:
        reader = two.reader()
        first = reader.tokens["access_token"]
        reader.sign_in()
        reader.post("/auth/logout")
        reader.sign_in()
        assert with_token(two, first).status_code == 200
        assert is_live(reader)

    def test_lower_limit_counts_from_the_next_sign_in(self, two: Api, api: Api) -> None:
        reader = two.reader()
        tokens = [reader.tokens["access_token"], reader.sign_in()["access_token"]]
        last = api.sign_in(reader.username)["access_token"]
        assert [with_token(api, token).status_code for token in tokens] == [401, 401]
        assert with_token(api, last).status_code == 200


class TestLogout:
    def test_ends_this_session(self, api: Api) -> None:
        reader = api.reader()
        answer = reader.post("/auth/logout")
        assert (answer.status_code, answer.data) == (204, b"")
        assert is_refused(reader.get("/api/user/status"), 401, "session_revoked")
        assert is_refused(refresh(api, reader.tokens["refresh_token"]), 401, "session_revoked")

    def test_twice_is_refused_as_signed_out(self, api: Api) -> None:
        reader = api.reader()
        reader.post("/auth/logout")
        assert is_refused(reader.post("/auth/logout"), 401, "session_revoked")

    def test_many_at_once_are_all_signed_out(self, pg_api: Api) -> None:
        for _ in range(3):
            reader = pg_api.reader()
            answers = at_once(8, lambda _, who=reader: who.post("/auth/logout"))
            assert {a.status_code for a in answers} <= {204, 401}
            assert not is_live(reader)

    def test_session_that_was_replaced_stays_so(self, api: Api) -> None:
        reader = api.reader()
        first = reader.tokens["access_token"]
        reader.sign_in()
        reader.post("/auth/logout")
        assert is_refused(with_token(api, first), 401, "session_replaced")


class TestPasswordChange:
    @pytest.fixture
    def three(self, deployment: Deployment, bot: BotApiStandIn) -> Iterator[Api]:
        with variant_api(deployment, bot, MAX_SESSIONS="3") as found:
            yield found

    def test_ends_all_other_sessions(self, three: Api) -> None:
        reader = three.reader()
        others = [dict(reader.tokens), dict(reader.sign_in())]
        reader.sign_in()
        body = {"current_password": PASSWORD, "new_password": "another fine password"}
        assert reader.post("/auth/password", body).status_code == 204
        for tokens in others:
            assert is_refused(with_token(three, tokens["access_token"]), 401, "session_revoked")
            assert is_refused(refresh(three, tokens["refresh_token"]), 401, "session_revoked")
        assert is_live(reader)
        assert refresh(three, reader.tokens["refresh_token"]).status_code == 200

    def test_by_the_command_line_ends_every_session(self, api: Api) -> None:
        reader = api.reader()
        user_id = api.user_id(reader)
        with api.app.app_context(), transaction():
            accounts.set_password(user_id, "another fine password", CLI)
        assert is_refused(reader.get("/api/user/status"), 401, "session_revoked")


class TestList:
    @pytest.fixture
    def two(self, deployment: Deployment, bot: BotApiStandIn) -> Iterator[Api]:
        with variant_api(deployment, bot, MAX_SESSIONS="2") as found:
            yield found

    def test_newest_first_and_which_one_is_this(self, two: Api) -> None:
        reader = two.reader()
        older = reader.auth
        reader.sign_in()
        found = reader.get("/auth/sessions").get_json()
        assert [each["current"] for each in found] == [True, False]
        assert found[0]["created_at"] > found[1]["created_at"]
        seen_by_older = two.client().get("/auth/sessions", headers=older).get_json()
        assert [each["current"] for each in seen_by_older] == [False, True]

    def test_says_what_opened_it_and_from_where(self, api: Api) -> None:
        reader = api.reader()
        answer = api.client().post(
            "/auth/login",
            json={"username": reader.username, "password": PASSWORD},
            headers={"User-Agent": "Reader/1.0 " + "x" * 1000},
        )
        reader.tokens = answer.get_json()
        (found,) = reader.get("/auth/sessions").get_json()
        assert (found["product"], found["kind"]) == ("manga", "token")
        assert found["address"] == "127.0.0.1"
        assert found["user_agent"].startswith("Reader/1.0")
        assert len(found["user_agent"]) == 300
        assert found["created_at"].endswith("Z")

    def test_tells_no_secret(self, api: Api) -> None:
        reader = api.reader()
        text = reader.get("/auth/sessions").text
        assert claims(reader.tokens["access_token"])["salt"] not in text

    def test_another_ones_sessions_are_not_in_it(self, api: Api) -> None:
        reader, _other = api.reader(), api.reader()
        assert len(reader.get("/auth/sessions").get_json()) == 1


class TestDelete:
    def delete(self, reader: Reader, session_id: str) -> tuple[int, str]:
        answer = reader.api.client().delete(f"/auth/sessions/{session_id}", headers=reader.auth)
        return answer.status_code, (answer.get_json(silent=True) or {}).get("code", "")

    def test_ends_one_of_mine(self, deployment: Deployment, bot: BotApiStandIn) -> None:
        with variant_api(deployment, bot, MAX_SESSIONS="2") as api:
            reader = api.reader()
            older = reader.tokens["access_token"]
            reader.sign_in()
            sid = str(uuid.UUID(claims(older)["sid"]))
            assert self.delete(reader, sid) == (204, "")
            assert is_refused(with_token(api, older), 401, "session_revoked")
            assert is_live(reader)
            assert self.delete(reader, sid) == (404, "session_not_found")

    def test_another_ones_is_not_found(self, api: Api) -> None:
        reader, other = api.reader(), api.reader()
        sid = str(uuid.UUID(claims(other.tokens["access_token"])["sid"]))
        assert self.delete(reader, sid) == (404, "session_not_found")
        assert is_live(other)

    def test_unknown_one_is_not_found(self, api: Api) -> None:
        assert self.delete(api.reader(), str(uuid.uuid4())) == (404, "session_not_found")

    def test_word_is_not_found(self, lite: Api) -> None:
        assert self.delete(lite.reader(), "current") == (404, "not_found")


class TestRefresh:
    def test_gives_a_pair_that_works(self, api: Api) -> None:
        reader = api.reader()
        answer = refresh(api, reader.tokens["refresh_token"])
        assert answer.status_code == 200
        new = answer.get_json()
        assert sorted(new) == sorted(reader.tokens)
        assert new["access_token"] != reader.tokens["access_token"]
        assert with_token(api, new["access_token"]).status_code == 200
        assert refresh(api, new["refresh_token"]).status_code == 200

    def test_ends_no_session(self, api: Api) -> None:
        reader = api.reader()
        new = refresh(api, reader.tokens["refresh_token"]).get_json()
        assert is_live(reader)
        old, later = claims(reader.tokens["access_token"]), claims(new["access_token"])
        assert old["sid"] == later["sid"]

    def test_one_generation_old_is_answered_with_the_current_one(self, api: Api) -> None:
        first = api.reader().tokens["refresh_token"]
        second = refresh(api, first).get_json()["refresh_token"]
        again = refresh(api, first)
        assert again.status_code == 200
        assert claims(again.get_json()["refresh_token"])["gen"] == claims(second)["gen"]
        assert refresh(api, second).status_code == 200

    def test_client_that_always_sends_its_first_is_never_signed_out(self, api: Api) -> None:
        reader = api.reader()
        for _ in range(6):
            answer = refresh(api, reader.tokens["refresh_token"])
            assert answer.status_code == 200
            assert with_token(api, answer.get_json()["access_token"]).status_code == 200

    def test_two_generations_old_ends_the_session(self, api: Api) -> None:
        reader = api.reader()
        first = reader.tokens["refresh_token"]
        second = refresh(api, first).get_json()["refresh_token"]
        third = refresh(api, second).get_json()
        assert is_refused(refresh(api, first), 401, "refresh_reused")
        assert is_refused(refresh(api, third["refresh_token"]), 401, "session_revoked")
        assert is_refused(with_token(api, third["access_token"]), 401, "session_revoked")
        assert not is_live(reader)

    def test_reuse_ends_only_that_session(self, api: Api) -> None:
        thief, other = api.reader(), api.reader()
        first = thief.tokens["refresh_token"]
        for _ in range(2):
            latest = refresh(api, thief.tokens["refresh_token"]).get_json()
            thief.tokens = latest
        assert is_refused(refresh(api, first), 401, "refresh_reused")
        assert is_live(other)
        thief.sign_in()
        assert is_live(thief)

    def test_many_at_once_with_one_token_sign_nobody_out(self, api: Api) -> None:
        reader = api.reader()
        answers = at_once(10, lambda _: refresh(api, reader.tokens["refresh_token"]))
        assert [a.status_code for a in answers] == [200] * 10
        newest = answers[0].get_json()["refresh_token"]
        assert {claims(a.get_json()["refresh_token"])["gen"] for a in answers} == {1}
        assert refresh(api, newest).status_code == 200

    def test_slides_the_time_of_the_session(self, api: Api) -> None:
        reader = api.reader()
        start = clock.now()
        token = reader.tokens["refresh_token"]
        for days in (20, 40, 60):
            with time_machine.travel(start + timedelta(days=days)):
                answer = refresh(api, token)
                assert answer.status_code == 200
                token = answer.get_json()["refresh_token"]
        with time_machine.travel(start + timedelta(days=91)):
            assert is_refused(refresh(api, token), 401, "token_expired")

    def test_body_does_not_matter(self, lite: Api) -> None:
        token = lite.reader().tokens["refresh_token"]
        answer = lite.post("/auth/refresh", {"any": "thing"}, Authorization=f"Bearer {token}")
        assert answer.status_code == 200

    def test_new_role_is_in_the_new_token(self, lite: Api) -> None:
        reader = lite.reader()
        assert claims(reader.tokens["access_token"])["role"] == "user"
        admin = lite.staff(Role.ADMIN)
        new = refresh(lite, admin.tokens["refresh_token"]).get_json()
        assert claims(new["access_token"])["role"] == "admin"


class TestCost:
    @pytest.mark.parametrize("path", ["/api/user/status", "/api/user/access"])
    def test_session_is_checked_in_the_routes_own_statement(self, api: Api, path: str) -> None:
        reader = api.reader()
        reader.get(path)
        with counted_queries(api.app) as statements:
            reader.get(path)
        assert len(statements) == 1


class TestPurge:
    def test_forgets_only_what_is_long_over(self, api: Api) -> None:
        old, new = api.reader(), api.reader()
        old.post("/auth/telegram/link")
        user_id = api.user_id(old)
        long_ago = clock.now() - timedelta(days=91)
        with api.app.app_context():
            with transaction() as current:
                current.execute(
                    update(Session).where(Session.user_id == user_id).values(expires_at=long_ago)
                )
                current.execute(update(LinkCode).values(expires_at=long_ago))
            purge_sessions_and_codes()
            assert db.session.scalar(select(func.count()).select_from(LinkCode)) == 0
        assert is_refused(old.get("/api/user/status"), 401, "session_revoked")
        assert is_live(new)

    def test_ended_one_still_says_why(self, api: Api) -> None:
        reader = api.reader()
        first = reader.tokens["access_token"]
        reader.sign_in()
        with api.app.app_context():
            purge_sessions_and_codes()
            reasons = set(db.session.scalars(select(Session.end_reason)))
        assert reasons == {EndReason.REPLACED, None}
        assert is_refused(with_token(api, first), 401, "session_replaced")
