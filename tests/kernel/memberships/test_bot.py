"""/status, /balance and /coupon: who is answered what."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
import time_machine

from manga_backend.kernel.approvals.types import Decision
from manga_backend.kernel.backoffice.models import AuditEntry
from manga_backend.kernel.identity.types import Role
from manga_backend.kernel.memberships import messages
from manga_backend.kernel.money.coupons.models import Coupon
from manga_backend.kernel.money.payments.types import Method, PaymentStatus
from manga_backend.kit import clock
from tests.conftest import Deployment
from tests.kernel.commands import answer, say
from tests.kernel.factories import (
    count,
    decide,
    end_of,
    get_user,
    make_coupon,
    make_reader,
    make_user,
    new_chat,
    rows,
    submit,
)
from tests.standins.telegram import BotApiStandIn
from tests.support import ADMIN_IDS, Api, year_of
from tests.variants import variant_api

CODE = re.compile(r"[0-9A-Z]{4}-[0-9A-Z]{4}-[0-9A-Z]{4}")
DAY = timedelta(days=1)


@pytest.fixture
def chat() -> int:
    return new_chat()


@pytest.mark.parametrize("command", ["/status", "/balance", "/stats"])
class TestWhoIsAnswered:
    def test_a_chat_without_an_account_learns_how_to_link_it(
        self, api: Api, chat: int, command: str
    ) -> None:
        assert "not linked" in answer(api, chat, command)

    def test_a_claim_counts_for_nothing(self, api: Api, chat: int, command: str) -> None:
        user_id = make_user(api.app, telegram_id=chat)
        text = answer(api, chat, command)
        assert "not linked" in text
        assert get_user(api.app, user_id).label not in text

    def test_a_banned_account_is_told_so(self, api: Api, chat: int, command: str) -> None:
        make_user(api.app, telegram_id=chat, verified=True, banned_at=clock.now())
        assert answer(api, chat, command) == "This account is banned."

    def test_in_persian_no_raw_word_is_left(self, api: Api, chat: int, command: str) -> None:
        user_id = make_user(api.app, telegram_id=chat, verified=True, language="fa")
        decide(api.app, submit(api.app, user_id), Decision.APPROVE)
        submit(api.app, user_id)
        text = answer(api, chat, command)
        for raw in ("pending", "approved", "manga", "monthly"):
            assert raw not in text


class TestStatus:
    def test_shows_until_when_and_how_many_days(self, api: Api, chat: int) -> None:
        user_id = make_user(api.app, telegram_id=chat, verified=True, language="en")
        decide(api.app, submit(api.app, user_id), Decision.APPROVE)
        text = answer(api, chat, "/status")
        assert get_user(api.app, user_id).label in text
        assert year_of(end_of(api.app, user_id)) in text
        assert "Active until" in text
        assert "Days left: 30" in text
        assert "crypto transfer" in text
        assert "accepted" in text

    def test_an_ended_one_says_so(self, api: Api, chat: int) -> None:
        user_id = make_user(api.app, telegram_id=chat, verified=True, language="en")
        with time_machine.travel(clock.now() - 40 * DAY):
            decide(api.app, submit(api.app, user_id), Decision.APPROVE)
        text = answer(api, chat, "/status")
        assert "Ended on" in text
        assert "Days left" not in text

    def test_without_a_subscription_the_payment_that_waits_is_shown(
        self, api: Api, chat: int
    ) -> None:
        user_id = make_user(api.app, telegram_id=chat, verified=True, language="en")
        submit(api.app, user_id)
        text = answer(api, chat, "/status")
        assert "You have no subscription yet." in text
        assert "waiting for a decision" in text

    def test_a_rejection_shows_its_reason_escaped(self, api: Api, chat: int) -> None:
        user_id = make_user(api.app, telegram_id=chat, verified=True, language="en")
        decide(api.app, submit(api.app, user_id), Decision.REJECT, reason="<b>no</b> money")
        text = answer(api, chat, "/status")
        assert "not accepted" in text
        assert "Reason: <b>no</b> money" in text

    def test_a_button_opens_the_site(
        self, deployment: Deployment, bot: BotApiStandIn, chat: int
    ) -> None:
        with variant_api(deployment, bot, WEB_APP_URL="https://manga.example") as api:
            make_user(api.app, telegram_id=chat, verified=True)
            (message,) = say(api, chat, "/status")
            assert message.buttons[0]["url"].startswith("https://manga.example")

    def test_every_state_and_way_to_pay_has_a_word(self) -> None:
        assert set(messages.PAYMENT_STATUS) == set(PaymentStatus)
        assert set(messages.METHOD) == set(Method)


class TestBalance:
    def test_days_purchases_and_what_waits(self, api: Api, chat: int) -> None:
        reader = make_reader(api, telegram_id=chat, verified=True, language="en")
        user_id = api.user_id(reader)
        for _ in range(2):
            decide(api.app, submit(api.app, user_id), Decision.APPROVE)
        submit(api.app, user_id)
        text = answer(api, chat, "/balance")
        assert "Days left: 60" in text
        assert "Purchases: 2" in text
        assert "Payments waiting for a decision: 1" in text
        assert "wallet" not in text.lower()

    def test_of_an_empty_account(self, api: Api, chat: int) -> None:
        make_user(api.app, telegram_id=chat, verified=True, language="en")
        text = answer(api, chat, "/balance")
        assert "You have no subscription yet." in text
        assert "Purchases: 0" in text


class TestCoupon:
    def test_makes_coupons_that_can_be_redeemed(self, api: Api) -> None:
        (message,) = say(api, ADMIN_IDS[0], "/coupon 7 3")
        codes = CODE.findall(message.text)
        assert len(codes) == len(set(codes)) == 3
        assert all(f"<code>{code}</code>" in message.html for code in codes)
        assert "Days of each: 7" in message.text
        reader = make_reader(api)
        redeemed = reader.post("/payment/submit", {"coupon_code": codes[0]})
        assert redeemed.get_json()["days_added"] == 7
        assert [coupon.max_uses for coupon in rows(api.app, Coupon)] == [1] * 3

    def test_one_by_default_and_who_made_it_is_audited(self, api: Api) -> None:
        user_id = make_user(api.app, role=Role.ADMIN, telegram_id=new_chat(), verified=True)
        chat = get_user(api.app, user_id).telegram_id
        assert chat is not None
        assert len(CODE.findall(answer(api, chat, "/coupon 30"))) == 1
        (entry,) = rows(api.app, AuditEntry)
        assert (entry.action, entry.actor) == ("coupon.issued", f"user:{user_id}")

    def test_persian_digits_are_digits(self, api: Api) -> None:
        assert len(CODE.findall(answer(api, ADMIN_IDS[0], "/coupon ۷ ۲"))) == 2

    def test_50_fit_one_message(self, api: Api) -> None:
        assert len(CODE.findall(answer(api, ADMIN_IDS[0], "/coupon 3650 50"))) == 50

    @pytest.mark.parametrize(
        "argument",
        ["", "x", "0", "-3", "3651", "7 0", "7 51", "7 x", "7 1 1", "1.5", "1_0", "9" * 5000, "²"],
    )
    def test_bad_numbers_are_explained_and_make_nothing(self, api: Api, argument: str) -> None:
        text = answer(api, ADMIN_IDS[0], f"/coupon {argument}"[:4000])
        assert "/coupon 30 5" in text
        assert "3650" in text
        assert "50" in text
        assert count(api.app, Coupon) == 0

    def test_twice_the_same_update_makes_one_batch(self, api: Api) -> None:
        say(api, ADMIN_IDS[0], "/coupon 7")
        api.poll()
        assert count(api.app, Coupon) == 1

    @pytest.mark.parametrize("role", [Role.USER, Role.SUPPORT])
    def test_is_no_command_for_others(self, api: Api, chat: int, role: Role) -> None:
        make_user(api.app, role=role, telegram_id=chat, verified=True, language="en")
        assert CODE.findall(answer(api, chat, "/coupon 7")) == []
        assert count(api.app, Coupon) == 0

    def test_nor_for_a_banned_admin_nor_for_a_claim(self, api: Api) -> None:
        banned, claimed = new_chat(), new_chat()
        make_user(
            api.app, role=Role.ADMIN, telegram_id=banned, verified=True, banned_at=clock.now()
        )
        make_user(api.app, role=Role.ADMIN, telegram_id=claimed)
        make_user(api.app, telegram_id=ADMIN_IDS[1], verified=True, banned_at=clock.now())
        for chat in (banned, claimed, ADMIN_IDS[1]):
            say(api, chat, "/coupon 7")
        assert count(api.app, Coupon) == 0


def test_coupons_bought_by_nobody_are_no_purchase(api: Api, chat: int) -> None:
    make_coupon(api.app)
    make_user(api.app, telegram_id=chat, verified=True, language="en")
    assert "Purchases: 0" in answer(api, chat, "/balance")
