"""Who may press ✅ and ❌, and what each of them is shown."""

from __future__ import annotations

import uuid

import pytest

from manga_backend.kernel.approvals.types import Decision, State
from manga_backend.kernel.identity.types import Role
from manga_backend.kernel.memberships.models import SubscriptionChange
from manga_backend.kit import clock
from tests.kernel.factories import (
    admin,
    approval_of,
    count,
    decide,
    get_user,
    make_user,
    new_chat,
    submit,
)
from tests.support import ADMIN_IDS, Api, new_hash

NOT_ALLOWED = "You are not allowed to decide this."


@pytest.fixture
def payment(api: Api) -> uuid.UUID:
    """One that waits."""
    return submit(api.app, make_user(api.app), new_hash())


def press(api: Api, chat: int, data: str, language: str = "en") -> str:
    """A client in a private chat says that it pressed a button; returns what it is shown."""
    api.bot.add_person(chat, language_code=language)
    api.bot.send_text(chat, "hello")
    message = api.bot.messages(chat)[0]
    callback = api.bot.press_raw(chat, message.message_id, data)
    api.poll()
    return api.bot.wait_for_callback_answer(callback, timeout=30)


def approve(api: Api, payment: uuid.UUID, chat: int, **more: str) -> str:
    return press(api, chat, f"approve:{approval_of(api.app, payment).id.hex}", **more)


def reject(api: Api, payment: uuid.UUID, chat: int) -> str:
    return press(api, chat, f"reject:{approval_of(api.app, payment).id.hex}")


def state(api: Api, payment: uuid.UUID) -> State:
    return approval_of(api.app, payment).state


class TestWhoMayDecide:
    def test_a_listed_admin_without_an_account_acts_by_their_id(
        self, api: Api, payment: uuid.UUID
    ) -> None:
        assert approve(api, payment, ADMIN_IDS[0]) == "Approved."
        approval = approval_of(api.app, payment)
        assert approval.decided_by == approval.decided_by_label == f"telegram:{ADMIN_IDS[0]}"

    def test_a_listed_admin_with_a_verified_account_acts_by_its_name(
        self, api: Api, payment: uuid.UUID
    ) -> None:
        user_id = make_user(api.app, telegram_id=ADMIN_IDS[0], verified=True)
        assert reject(api, payment, ADMIN_IDS[0]) == "Rejected."
        approval = approval_of(api.app, payment)
        label = get_user(api.app, user_id).label
        assert (approval.decided_by, approval.decided_by_label) == (f"user:{user_id}", label)

    @pytest.mark.parametrize("role", [Role.ADMIN, Role.SUPERUSER])
    def test_a_verified_admin_account_may(self, api: Api, payment: uuid.UUID, role: Role) -> None:
        chat = new_chat()
        user_id = make_user(api.app, role=role, telegram_id=chat, verified=True)
        assert approve(api, payment, chat) == "Approved."
        assert approval_of(api.app, payment).decided_by == f"user:{user_id}"

    @pytest.mark.parametrize("role", [Role.USER, Role.SUPPORT])
    def test_a_verified_account_of_a_lower_role_may_not(
        self, api: Api, payment: uuid.UUID, role: Role
    ) -> None:
        chat = new_chat()
        make_user(api.app, role=role, telegram_id=chat, verified=True)
        assert approve(api, payment, chat) == NOT_ALLOWED
        assert state(api, payment) is State.PENDING

    def test_an_admin_account_that_only_claims_its_id_may_not(
        self, api: Api, payment: uuid.UUID
    ) -> None:
        chat = new_chat()
        make_user(api.app, role=Role.ADMIN, telegram_id=chat)
        assert approve(api, payment, chat) == NOT_ALLOWED
        assert state(api, payment) is State.PENDING

    def test_a_claim_of_a_listed_id_gives_the_account_nothing(
        self, api: Api, payment: uuid.UUID
    ) -> None:
        make_user(api.app, telegram_id=ADMIN_IDS[0])
        assert approve(api, payment, ADMIN_IDS[0]) == "Approved."
        assert approval_of(api.app, payment).decided_by == f"telegram:{ADMIN_IDS[0]}"

    def test_a_banned_account_that_claims_a_listed_id_takes_nothing_away(
        self, api: Api, payment: uuid.UUID
    ) -> None:
        make_user(api.app, telegram_id=ADMIN_IDS[0], banned_at=clock.now())
        assert approve(api, payment, ADMIN_IDS[0]) == "Approved."

    @pytest.mark.parametrize("listed", [True, False])
    def test_a_banned_admin_may_not(self, api: Api, payment: uuid.UUID, listed: bool) -> None:
        chat = ADMIN_IDS[1] if listed else new_chat()
        make_user(api.app, role=Role.ADMIN, telegram_id=chat, verified=True, banned_at=clock.now())
        assert approve(api, payment, chat) == NOT_ALLOWED
        assert state(api, payment) is State.PENDING

    def test_a_stranger_may_not_and_changes_nothing(self, api: Api, payment: uuid.UUID) -> None:
        assert approve(api, payment, new_chat()) == NOT_ALLOWED
        assert reject(api, payment, new_chat()) == NOT_ALLOWED
        assert state(api, payment) is State.PENDING
        assert count(api.app, SubscriptionChange) == 0
        assert approve(api, payment, ADMIN_IDS[0]) == "Approved."

    def test_a_stranger_does_not_learn_how_it_was_decided(
        self, api: Api, payment: uuid.UUID
    ) -> None:
        decide(api.app, payment, Decision.APPROVE)
        assert approve(api, payment, new_chat()) == NOT_ALLOWED


class TestAnswers:
    """Four decisions, each told truthfully."""

    @pytest.mark.parametrize(
        ("first", "second", "shown"),
        [
            (Decision.APPROVE, Decision.APPROVE, "Already approved by admin 7."),
            (Decision.APPROVE, Decision.REJECT, "Already approved by admin 7."),
            (Decision.REJECT, Decision.APPROVE, "Already rejected by admin 7."),
            (Decision.REJECT, Decision.REJECT, "Already rejected by admin 7."),
        ],
    )
    def test_the_second_hears_what_the_first_decided(
        self, api: Api, payment: uuid.UUID, first: Decision, second: Decision, shown: str
    ) -> None:
        decide(api.app, payment, first, admin(7))
        act = approve if second is Decision.APPROVE else reject
        assert act(api, payment, ADMIN_IDS[0]) == shown
        decided = {Decision.APPROVE: State.APPROVED, Decision.REJECT: State.REJECTED}
        assert state(api, payment) is decided[first]

    def test_each_is_answered(self, api: Api, payment: uuid.UUID) -> None:
        assert reject(api, payment, ADMIN_IDS[1]) == "Rejected."
        assert state(api, payment) is State.REJECTED


class TestGarbage:
    @pytest.mark.parametrize(
        "data",
        [
            "approve",
            "approve:",
            "approve:nonsense",
            "approve:" + "0" * 32,
            "approve:" + "z" * 32,
            "approve:1:2:3",
            "reject:-1",
            "approve:٠٠٠٠٠٠٠٠٠٠",
        ],
    )
    def test_a_button_of_no_question_says_so(self, api: Api, payment: uuid.UUID, data: str) -> None:
        assert press(api, ADMIN_IDS[0], data) == "This question does not exist any more."
        assert state(api, payment) is State.PENDING

    @pytest.mark.parametrize("data", ["x", "APPROVE:1", ":", "drop table approvals", "🙂"])
    def test_an_unknown_button_says_that_it_does_nothing(self, api: Api, data: str) -> None:
        assert press(api, ADMIN_IDS[0], data) == "This button does nothing any more."

    def test_a_stranger_with_garbage_is_not_allowed(self, api: Api) -> None:
        assert press(api, new_chat(), "approve:nonsense") == NOT_ALLOWED
