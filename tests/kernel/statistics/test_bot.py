"""/stats: one's own numbers, or the site's."""

from __future__ import annotations

import pytest

from manga_backend.kernel.approvals.types import Decision
from manga_backend.kernel.backoffice.types import CLI
from manga_backend.kernel.identity.types import Role
from manga_backend.kernel.memberships.service import give_days
from manga_backend.kit import clock
from tests.kernel.commands import answer
from tests.kernel.factories import PRODUCT, at_work, decide, make_user, new_chat, submit
from tests.support import ADMIN_IDS, Api, this_year


def paid(api: Api, user_id: int) -> None:
    decide(api.app, submit(api.app, user_id), Decision.APPROVE)


@pytest.mark.parametrize("role", [Role.USER, Role.SUPPORT])
def test_a_user_reads_their_own(api: Api, role: Role) -> None:
    chat = new_chat()
    user_id = make_user(api.app, role=role, telegram_id=chat, verified=True, language="en")
    paid(api, user_id)
    paid(api, user_id)
    paid(api, make_user(api.app))
    with at_work(api.app):
        give_days(user_id, PRODUCT, 5, CLI, "a gift")
    text = answer(api, chat, "/stats")
    assert f"Member since: {this_year()}" in text
    assert "Purchases: 2" in text
    assert "Days bought: 60" in text
    assert "Revenue" not in text


def test_an_admin_reads_the_sites(api: Api) -> None:
    chat = new_chat()
    make_user(api.app, role=Role.ADMIN, telegram_id=chat, verified=True, language="en")
    paid(api, make_user(api.app))
    submit(api.app, make_user(api.app))
    for text in (answer(api, chat, "/stats"), answer(api, ADMIN_IDS[0], "/stats")):
        assert "Users: 3" in text
        assert "New today: 3" in text
        assert "Active subscriptions: 1" in text
        assert "Payments waiting for a decision: 1" in text
        assert "Revenue, USDT: 5.00" in text


def test_a_banned_admin_reads_nothing(api: Api) -> None:
    make_user(api.app, telegram_id=ADMIN_IDS[1], verified=True, banned_at=clock.now())
    assert answer(api, ADMIN_IDS[1], "/stats") == "This account is banned."


def test_an_admin_account_that_only_claims_its_id_reads_nothing(api: Api) -> None:
    chat = new_chat()
    make_user(api.app, role=Role.ADMIN, telegram_id=chat)
    assert "not linked" in answer(api, chat, "/stats")
