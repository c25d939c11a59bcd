"""A Telegram id is a claim until /start with a link code proves it."""

from __future__ import annotations

from datetime import timedelta

import pytest
import time_machine
from sqlalchemy import select

from manga_backend.kernel.backoffice.models import AuditEntry
from manga_backend.kernel.identity.models import LinkCode, User
from manga_backend.kernel.identity.queries import (
    find_user_by_verified_telegram_id,
    list_telegram_admins,
)
from manga_backend.kernel.identity.service.telegram import verify_telegram_id
from manga_backend.kernel.identity.types import Role
from manga_backend.kernel.notifications.models import Notification
from manga_backend.kit import clock
from manga_backend.kit.db import db, transaction
from manga_backend.kit.problems import DomainError
from tests.kernel.factories import at_work, rows
from tests.kernel.identity.conftest import is_refused
from tests.support import Api, Reader, at_once


def link(reader: Reader) -> str:
    answer = reader.post("/auth/telegram/link")
    assert answer.status_code == 201
    code: str = answer.get_json()["code"]
    return code


def start(api: Api, sender: int, argument: str = "", language: str = "en") -> str:
    """What the bot answers to /start."""
    before = max((m.message_id for m in api.bot.messages(sender)), default=0)
    api.bot.send_text(sender, f"/start {argument}".strip(), language_code=language)
    api.poll()
    api.deliver()
    return api.bot.wait_for_message(sender, timeout=5, after_message_id=before).text


def telegram_of(api: Api, reader: Reader) -> tuple[int | None, bool]:
    with api.app.app_context():
        user = db.session.scalar(select(User).where(User.username == reader.username))
        assert user is not None
        return user.telegram_id, user.telegram_verified_at is not None


EXPIRED = "This link has expired or was used"


class TestLink:
    def test_gives_a_code_and_when_it_ends(self, api: Api) -> None:
        body = api.reader().post("/auth/telegram/link").get_json()
        assert sorted(body) == ["code", "expires_at", "url"]
        assert len(body["code"]) == 10
        assert body["expires_at"].endswith("Z")

    def test_url_opens_the_bot_once_its_name_is_known(self, api: Api) -> None:
        reader = api.reader()
        assert reader.post("/auth/telegram/link").get_json()["url"] is None
        api.poll()
        body = reader.post("/auth/telegram/link").get_json()
        assert body["url"] == f"https://t.me/two_manga_bot?start={body['code']}"

    def test_code_is_kept_only_as_a_hash(self, api: Api) -> None:
        code = link(api.reader())
        with api.app.app_context():
            assert code not in db.session.scalars(select(LinkCode.code_hash)).all()

    def test_needs_a_session(self, lite: Api) -> None:
        assert is_refused(lite.post("/auth/telegram/link"), 401, "token_missing")


class TestStart:
    def test_registered_id_is_only_a_claim(self, api: Api) -> None:
        reader = api.reader()
        assert telegram_of(api, reader) == (reader.telegram_id, False)
        with api.app.app_context():
            assert find_user_by_verified_telegram_id(reader.telegram_id) is None

    def test_code_verifies_the_claim(self, api: Api) -> None:
        reader = api.reader()
        assert reader.username in start(api, reader.telegram_id, link(reader))
        assert telegram_of(api, reader) == (reader.telegram_id, True)

    def test_sender_and_not_the_claim_is_verified(self, api: Api) -> None:
        reader = api.reader()
        start(api, reader.telegram_id + 10**10, link(reader))
        assert telegram_of(api, reader) == (reader.telegram_id + 10**10, True)

    def test_takes_the_id_over_from_a_mere_claim(self, api: Api) -> None:
        squatter, owner = api.reader(), api.reader()
        start(api, squatter.telegram_id, link(owner))
        assert telegram_of(api, owner) == (squatter.telegram_id, True)
        assert telegram_of(api, squatter) == (None, False)
        assert squatter.get("/api/user/status").status_code == 200

    def test_id_verified_by_another_stays_theirs(self, api: Api) -> None:
        owner, other = api.reader(), api.reader()
        start(api, owner.telegram_id, link(owner))
        code = link(other)
        answer = start(api, owner.telegram_id, code)
        assert answer == "Another account uses this Telegram id."
        assert telegram_of(api, owner) == (owner.telegram_id, True)
        assert telegram_of(api, other) == (other.telegram_id, False)

    def test_refused_code_is_still_good_for_the_right_id(self, api: Api) -> None:
        owner, other = api.reader(), api.reader()
        start(api, owner.telegram_id, link(owner))
        code = link(other)
        start(api, owner.telegram_id, code)
        start(api, other.telegram_id, code)
        assert telegram_of(api, other) == (other.telegram_id, True)

    def test_code_works_once(self, api: Api) -> None:
        reader = api.reader()
        code = link(reader)
        start(api, reader.telegram_id, code)
        assert EXPIRED in start(api, reader.telegram_id + 10**10, code)
        assert telegram_of(api, reader) == (reader.telegram_id, True)

    def test_code_ends_after_fifteen_minutes(self, api: Api) -> None:
        reader = api.reader()
        code = link(reader)
        with time_machine.travel(clock.now() + timedelta(minutes=15, seconds=1)):
            assert EXPIRED in start(api, reader.telegram_id, code)
        assert telegram_of(api, reader) == (reader.telegram_id, False)

    def test_newer_code_ends_the_older(self, api: Api) -> None:
        reader = api.reader()
        older, newer = link(reader), link(reader)
        assert EXPIRED in start(api, reader.telegram_id, older)
        assert reader.username in start(api, reader.telegram_id, newer)

    @pytest.mark.parametrize("code", ["0000000000", "x", "<b>", "; DROP TABLE users"])
    def test_unknown_code_is_refused(self, lite: Api, code: str) -> None:
        assert EXPIRED in start(lite, lite.reader().telegram_id, code)

    def test_case_of_the_code_does_not_matter(self, lite: Api) -> None:
        reader = lite.reader()
        assert reader.username in start(lite, reader.telegram_id, link(reader).lower())

    def test_without_a_code_only_greets(self, lite: Api) -> None:
        reader = lite.reader()
        assert start(lite, reader.telegram_id)
        assert telegram_of(lite, reader) == (reader.telegram_id, False)

    def test_two_ids_with_one_code_at_once_verify_one(self, pg_api: Api) -> None:
        reader = pg_api.reader()
        code = link(reader)

        def verify(number: int) -> bool:
            with pg_api.app.app_context():
                try:
                    with transaction():
                        verify_telegram_id(code, reader.telegram_id + number * 10**10)
                except DomainError:
                    return False
                return True

        assert sum(at_once(8, verify)) == 1
        assert telegram_of(pg_api, reader)[1] is True


class TestAdminRights:
    def test_never_hang_on_a_claim(self, api: Api) -> None:
        admin = api.staff(Role.ADMIN)
        with api.app.app_context():
            assert list_telegram_admins() == {}
        start(api, admin.telegram_id, link(admin))
        with api.app.app_context():
            assert list(list_telegram_admins()) == [admin.telegram_id]


def test_a_link_to_staff_is_audited_and_the_one_before_hears_of_it(api: Api) -> None:
    boss = api.staff()
    for telegram_id in (555_001, 555_002):
        code = boss.post("/auth/telegram/link").get_json()["code"]
        with at_work(api.app):
            verify_telegram_id(code, telegram_id)
    linked = rows(api.app, AuditEntry, AuditEntry.action == "user.telegram_linked")
    assert [(row.before, row.after) for row in linked] == [
        ({"telegram_id": None}, {"telegram_id": 555_001}),
        ({"telegram_id": 555_001}, {"telegram_id": 555_002}),
    ]
    (told,) = rows(api.app, Notification, Notification.kind == "telegram_replaced")
    assert told.chat_id == 555_001
