"""Signing in by what Telegram vouches for."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import pytest
import time_machine
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select, update

from manga_backend.kernel.identity import domain, jobs
from manga_backend.kernel.identity.errors import InitDataInvalid
from manga_backend.kernel.identity.models import UsedLogin, User
from manga_backend.kernel.identity.queries import find_user_called
from manga_backend.kernel.telegram.settings import TelegramSettings
from manga_backend.kit import clock
from tests.kernel.factories import at_work, count, make_user, rows
from tests.support import Api, Reader, at_once
from tests.variants import variant_api

# Published in the README and the tests of Telegram-Mini-Apps/init-data-golang: a bot made for that.
PUBLISHED_TOKEN = "7342037359:" + "AAHI25ES9xCOMPokpYoz-p8XVrZUdygo2J4"
PUBLISHED = (
    "user=%7B%22id%22%3A279058397%2C%22first_name%22%3A%22Vladislav%20%2B%20-%20%3F%20%5C%2F%22%2C"
    "%22last_name%22%3A%22Kibenko%22%2C%22username%22%3A%22vdkfrost%22%2C%22language_code%22%3A"
    "%22ru%22%2C%22is_premium%22%3Atrue%2C%22allows_write_to_pm%22%3Atrue%2C%22photo_url%22%3A"
    "%22https%3A%5C%2F%5C%2Ft.me%5C%2Fi%5C%2Fuserpic%5C%2F320%5C%2F4FPEE4tmP3ATHa57u6MqTDih13LTOiMo"
    "KoLDRG4PnSA.svg%22%7D&chat_instance=8134722200314281151&chat_type=private&auth_date=1733509682"
    "&signature=TYJxVcisqbWjtodPepiJ6ghziUL94-KNpG8Pau-X7oNNLNBM72APCpi_RKiUlBvcqo5L-LAxIc3dnTzcZX_P"
    "Dg&hash=a433d8f9847bd6addcc563bff7cc82c89e97ea0d90c11fe5729cae6796a36d73"
)
SIGNED_AT = datetime.fromtimestamp(1733509682, UTC)


def token_of(api: Api) -> str:
    found: TelegramSettings = api.app.extensions["settings"][TelegramSettings]
    return found.token


def init_data(token: str, telegram_id: int, at: datetime | None = None, **user: Any) -> str:
    """As the client of a Mini App gets it."""
    person = {"id": telegram_id, "first_name": "Айгуль", "language_code": "ru", **user}
    fields = {
        "query_id": "AAE",
        "user": json.dumps(person, ensure_ascii=False),
        "auth_date": str(int((at or clock.now()).timestamp())),
        "signature": "not-ours-to-check",
    }
    key = hmac.new(b"WebAppData", token.encode(), hashlib.sha256).digest()
    return urlencode({**fields, "hash": signed(fields, key)})


def signed(fields: dict[str, str], key: bytes) -> str:
    lines = "\n".join(f"{name}={fields[name]}" for name in sorted(fields))
    return hmac.new(key, lines.encode(), hashlib.sha256).hexdigest()


def sign_in(api: Api, text: str) -> Any:
    return api.post("/auth/telegram/webapp", {"init_data": text})


class TestVectors:
    def test_the_published_one_verifies(self) -> None:
        found = domain.read_init_data(PUBLISHED, PUBLISHED_TOKEN)
        assert (found.telegram_id, found.username) == (279058397, "vdkfrost")
        assert found.first_name == "Vladislav + - ? /"
        assert found.signed_at == SIGNED_AT

    def test_by_telegrams_own_signature_too(self) -> None:
        assert domain.read_init_data_of(PUBLISHED, 7342037359).telegram_id == 279058397
        with pytest.raises(InitDataInvalid):
            domain.read_init_data_of(PUBLISHED, 7342037358)

    @pytest.mark.parametrize(
        "changed",
        [
            PUBLISHED.replace("279058397", "279058398"),
            PUBLISHED.replace("auth_date=1733509682", "auth_date=1733509683"),
            PUBLISHED.replace("signature=TY", "signature=TX"),
            PUBLISHED.replace("hash=a", "hash=b"),
            PUBLISHED.replace("&hash=", "&hush="),
            PUBLISHED + "&chat_type=private",
            PUBLISHED + "&extra=1",
            PUBLISHED.partition("&signature")[0] + PUBLISHED[PUBLISHED.index("&hash") :],
            "",
            "hash=",
            "x",
            "user=%7B%7D&hash=\ud800",
        ],
    )
    def test_any_change_is_refused(self, changed: str) -> None:
        with pytest.raises(InitDataInvalid):
            domain.read_init_data(changed, PUBLISHED_TOKEN)

    def test_another_bots_token_is_refused(self) -> None:
        with pytest.raises(InitDataInvalid):
            domain.read_init_data(PUBLISHED, "7342037359:" + "A" * 35)

    @given(st.text(max_size=300))
    def test_any_text_is_answered(self, text: str) -> None:
        for read in (domain.read_init_data, domain.read_init_data_of):
            with pytest.raises(InitDataInvalid):
                read(text, "1:a" if read is domain.read_init_data else 1)  # type: ignore[operator]

    @given(st.integers(0, len(PUBLISHED) - 1), st.characters(codec="utf-8"))
    def test_one_other_character_is_refused_or_the_same(self, place: int, other: str) -> None:
        changed = PUBLISHED[:place] + other + PUBLISHED[place + 1 :]
        try:
            found = domain.read_init_data(changed, PUBLISHED_TOKEN)
        except InitDataInvalid:
            return
        assert found.telegram_id == 279058397  # "%5C" spelled "%5c" is the same text


class TestMiniApp:
    def test_opens_the_account_at_first_sight_and_once(self, api: Api) -> None:
        text = init_data(token_of(api), 700_001)
        first = sign_in(api, text)
        assert first.status_code == 200, first.text
        assert sign_in(api, text).status_code == 200
        (user,) = rows(api.app, User)
        assert (user.telegram_id, user.language) == (700_001, "ru")
        assert user.telegram_verified_at is not None
        reader = Reader(api, "", 700_001, sign_in(api, text).get_json())
        assert reader.get("/api/user/status").status_code == 200

    def test_takes_the_id_over_from_who_only_claimed_it(self, api: Api) -> None:
        claimed = make_user(api.app, telegram_id=700_002)
        assert sign_in(api, init_data(token_of(api), 700_002)).status_code == 200
        users = {user.id: user.telegram_id for user in rows(api.app, User)}
        assert users.pop(claimed) is None
        assert list(users.values()) == [700_002]

    def test_20_at_once_make_one_account(self, pg_api: Api) -> None:
        text = init_data(token_of(pg_api), 700_003)
        assert set(at_once(20, lambda _: sign_in(pg_api, text).status_code)) == {200}
        assert count(pg_api.app, User) == 1

    @pytest.mark.parametrize(
        ("age", "code"),
        [
            (timedelta(hours=23, minutes=59), None),
            (timedelta(hours=24, minutes=1), "init_data_expired"),
            (timedelta(minutes=-4), None),
            (timedelta(minutes=-6), "init_data_expired"),
        ],
    )
    def test_is_good_for_a_day(self, api: Api, age: timedelta, code: str | None) -> None:
        answer = sign_in(api, init_data(token_of(api), 700_004, clock.now() - age))
        assert answer.get_json().get("code") == code

    def test_a_wrong_one_says_what_the_document_says(self, api: Api) -> None:
        answer = sign_in(api, init_data("1:another", 700_005))
        assert (answer.status_code, answer.get_json()["code"]) == (401, "init_data_invalid")
        assert answer.get_json()["detail"] == "Invalid hash - data integrity check failed"
        assert count(api.app, User) == 0
        body = {"init_data": init_data("1:another", 700_005)}
        russian = api.post("/auth/telegram/webapp", body, **{"Accept-Language": "ru"}).get_json()
        assert russian["detail"] == "Invalid hash - data integrity check failed"
        assert "Неверный хеш" in russian["message"]

    def test_a_ban_holds(self, api: Api) -> None:
        text = init_data(token_of(api), 700_006)
        sign_in(api, text)
        with at_work(api.app) as current:
            current.execute(update(User).values(banned_at=clock.now()))
        answer = sign_in(api, text)
        assert (answer.status_code, answer.get_json()["code"]) == (403, "banned")


class TestWidget:
    def fields(self, api: Api, telegram_id: int, at: datetime | None = None) -> dict[str, Any]:
        shown = {
            "id": str(telegram_id),
            "first_name": "Sara",
            "auth_date": str(int((at or clock.now()).timestamp())),
        }
        key = hashlib.sha256(token_of(api).encode()).digest()
        numbers = {"id": telegram_id, "auth_date": int(shown["auth_date"])}
        return {**shown, **numbers, "hash": signed(shown, key)}

    def test_signs_in_once_for_each_payload(self, api: Api) -> None:
        body = self.fields(api, 700_010)
        assert api.post("/auth/telegram/widget", body).status_code == 200
        answer = api.post("/auth/telegram/widget", body)
        assert (answer.status_code, answer.get_json()["code"]) == (401, "telegram_login_used")

    def test_20_at_once_sign_in_once(self, pg_api: Api) -> None:
        body = self.fields(pg_api, 700_011)
        answers = at_once(20, lambda _: pg_api.post("/auth/telegram/widget", body).status_code)
        assert sorted(answers) == [200] + [401] * 19

    def test_a_change_or_an_old_one_is_refused(self, api: Api) -> None:
        body = self.fields(api, 700_012)
        changed = api.post("/auth/telegram/widget", {**body, "id": 700_013})
        assert changed.get_json()["code"] == "init_data_invalid"
        old = self.fields(api, 700_012, clock.now() - timedelta(hours=25))
        assert api.post("/auth/telegram/widget", old).get_json()["code"] == "init_data_expired"
        odd = api.post("/auth/telegram/widget", {**body, "first_name": {"a": 1}})
        assert odd.status_code == 400

    def test_used_ones_are_forgotten_when_they_are_too_old_anyway(self, api: Api) -> None:
        api.post("/auth/telegram/widget", self.fields(api, 700_014))
        with api.app.app_context():
            jobs.purge()
            assert count(api.app, UsedLogin) == 1
            with time_machine.travel(clock.now() + timedelta(hours=25)):
                jobs.purge()
        assert count(api.app, UsedLogin) == 0


class TestAnotherBot:
    def test_its_mini_app_signs_in_without_its_token(self, deployment: Any, bot: Any) -> None:
        with variant_api(deployment, bot, INIT_DATA_BOT_ID="7342037359") as api:
            with time_machine.travel(SIGNED_AT + timedelta(minutes=1)):
                answer = sign_in(api, PUBLISHED)
                assert answer.status_code == 200, answer.text
                own = sign_in(api, init_data(token_of(api), 700_030))
                assert own.get_json()["code"] == "init_data_invalid"
            assert rows(api.app, User)[0].telegram_id == 279058397


class TestWithoutABot:
    @pytest.fixture
    def botless(self, deployment: Any, bot: Any) -> Iterator[Api]:
        with variant_api(deployment, bot, TELEGRAM_BOT_TOKEN="", TELEGRAM_MODE="off") as api:
            yield api

    def test_it_is_said(self, botless: Api) -> None:
        answer = sign_in(botless, "user=1&hash=1")
        assert (answer.status_code, answer.get_json()["code"]) == (422, "telegram_off")


def test_an_account_by_telegram_alone_has_no_password(api: Api) -> None:
    sign_in(api, init_data(token_of(api), 700_020))
    with at_work(api.app) as current:
        user = current.scalars(select(User)).one()
        assert (user.password_hash, user.username) == (None, None)
        assert user.label == "telegram:700020"


def test_a_number_that_admins_type_is_the_telegram_id_first(api: Api) -> None:
    """Anyone may register another's number as a username."""
    right = make_user(api.app, telegram_id=6_663_619_001, verified=True)
    api.reader("6663619001")
    with at_work(api.app):
        for typed in ("6663619001", "telegram:6663619001"):
            found = find_user_called(typed)
            assert found is not None
            assert found.id == right
        assert find_user_called("telegram:1") is None
        named = find_user_called("6663619002")
        assert named is None
