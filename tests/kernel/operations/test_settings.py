"""Settings that are changed in the panel win over the environment, for every process."""

from __future__ import annotations

from typing import Any

import pytest

from manga_backend.kernel.approvals.settings import ApprovalSettings
from manga_backend.kernel.backoffice.models import AuditEntry
from manga_backend.kernel.identity.types import Role
from manga_backend.kernel.operations.models import ChangedSetting
from manga_backend.kernel.operations.service.changes import changeable
from manga_backend.kit import clock
from manga_backend.kit import settings as kit_settings
from manga_backend.kit.settings import ROOT, refresh, settings
from tests.conftest import Deployment
from tests.kernel.backoffice.test_panel import Panel
from tests.kernel.factories import at_work, count, make_reader, rows
from tests.standins.telegram import BotApiStandIn
from tests.support import ADMIN_IDS, Api, new_hash
from tests.variants import logged, variant_api

PATH = "/admin/settings/"


@pytest.fixture
def own(deployment: Deployment, bot: BotApiStandIn) -> Any:
    """An app of its own: what is changed is forgotten with it."""
    with variant_api(deployment, bot) as api:
        yield api


@pytest.fixture
def boss(own: Api) -> Panel:
    return Panel(own, own.staff(Role.SUPERUSER).username)


def limit_of(api: Api) -> int | None:
    with api.app.app_context():
        return settings(ApprovalSettings).four_eyes_above


class TestChanging:
    def test_counts_at_once_and_until_it_is_taken_back(self, own: Api, boss: Panel) -> None:
        boss.post(f"{PATH}FOUR_EYES_ABOVE", value="4")
        reader, tx = make_reader(own), new_hash()
        reader.submit(tx)
        assert "Another admin" in own.press(ADMIN_IDS[0], tx, "Approve")
        page = boss.get(PATH).text
        assert 'value="4"' in page
        assert "Changed by" in page
        boss.post(f"{PATH}FOUR_EYES_ABOVE", value="")
        assert limit_of(own) is None
        assert own.press(ADMIN_IDS[0], tx, "Approve") == "Approved."
        changes = rows(own.app, AuditEntry, AuditEntry.action == "setting.changed")
        assert [(row.before, row.after) for row in changes] == [
            ({"value": ""}, {"value": "4"}),
            ({"value": "4"}, {"value": ""}),
        ]

    @pytest.mark.parametrize(
        ("name", "value", "words"),
        [
            ("FOUR_EYES_ABOVE", "much", "must be an amount of USDT"),
            ("AUTO_APPROVE", "everything", "must be one of"),
            ("APPROVAL_REMINDER_MINUTES", "-1", "must be between"),
            ("WITHDRAW_MIN", "2000", "must not be above WITHDRAW_MAX"),
            ("WITHDRAW_BY", "gateway", "needs CRYPTOMUS_PAYOUT_KEY"),
            ("MAX_SESSIONS", "۲x", "valid integer"),
        ],
    )
    def test_what_can_not_be_used_changes_nothing(
        self, own: Api, boss: Panel, name: str, value: str, words: str
    ) -> None:
        assert words in boss.post(f"{PATH}{name}", value=value).text
        assert count(own.app, ChangedSetting) == 0
        assert count(own.app, AuditEntry, AuditEntry.action == "setting.changed") == 0

    @pytest.mark.parametrize("name", ["SECRET_KEY", "DATABASE_URL", "NOTHING"])
    def test_others_are_not_changed_here(self, own: Api, boss: Panel, name: str) -> None:
        boss.post(f"{PATH}{name}", value="x")
        assert count(own.app, ChangedSetting) == 0

    def test_an_admin_sees_and_support_does_not(self, own: Api) -> None:
        admin = Panel(own, own.staff().username)
        assert "FOUR_EYES_ABOVE" in admin.get(PATH).text
        assert admin.post(f"{PATH}FOUR_EYES_ABOVE", value="4").status_code == 403
        support = Panel(own, own.staff(Role.SUPPORT).username)
        assert support.get(PATH).status_code == 403

    def test_what_counts_without_a_change_is_shown(self, own: Api, boss: Panel) -> None:
        page = boss.get(PATH).text
        assert 'placeholder="1000"' in page  # WITHDRAW_MAX
        assert 'placeholder="60"' in page  # APPROVAL_REMINDER_MINUTES

    def test_each_is_a_name_that_deployers_know(self, own: Api) -> None:
        named = (ROOT / ".env.example").read_text()
        with own.app.app_context():
            for name, _meaning in changeable.items():
                assert f"\n{name}=" in named


class TestOtherProcesses:
    def test_follow(
        self,
        own: Api,
        boss: Panel,
        deployment: Deployment,
        bot: BotApiStandIn,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(kit_settings, "REFRESH_SECONDS", 600)
        with variant_api(deployment, bot) as other:
            with other.app.app_context():
                refresh(at_once=True)
            boss.post(f"{PATH}FOUR_EYES_ABOVE", value="7")
            with other.app.app_context():
                refresh()
                assert settings(ApprovalSettings).four_eyes_above is None  # looked a moment ago
                refresh(at_once=True)
            assert limit_of(other) == 7_000_000
            make_reader(other).submit()  # and requests look for it by themselves

    def test_keep_what_they_have_when_it_can_not_be_used(self, own: Api) -> None:
        with at_work(own.app) as current:
            current.add(
                ChangedSetting(
                    name="FOUR_EYES_ABOVE",
                    value="nonsense",
                    changed_at=clock.now(),
                    changed_by_label="someone with the database",
                )
            )
        with logged("manga_backend.kit.settings") as lines, own.app.app_context():
            refresh(at_once=True)
        assert "without FOUR_EYES_ABOVE" in lines[0]
        assert limit_of(own) is None
        assert make_reader(own).submit().status_code == 202

    def test_one_that_can_not_be_used_takes_no_force_from_the_others(
        self, own: Api, boss: Panel, deployment: Deployment, bot: BotApiStandIn
    ) -> None:
        boss.post(f"{PATH}FOUR_EYES_ABOVE", value="۴")  # Persian digits are read
        with at_work(own.app) as current:
            row = {"name": "WITHDRAW_BY", "value": "gateway", "changed_by_label": "x"}
            current.add(ChangedSetting(changed_at=clock.now(), **row))
        with variant_api(deployment, bot) as fresh:
            with fresh.app.app_context():
                refresh(at_once=True)
            assert limit_of(fresh) == 4_000_000
            owner = Panel(fresh, fresh.staff(Role.SUPERUSER).username)
            assert "be used as things are" in owner.get(PATH).text
            owner.post(f"{PATH}FOUR_EYES_ABOVE", value="5")  # and the others can still be changed
            assert limit_of(fresh) == 5_000_000

    def test_start_with_it(
        self, own: Api, boss: Panel, deployment: Deployment, bot: BotApiStandIn
    ) -> None:
        boss.post(f"{PATH}FOUR_EYES_ABOVE", value="4")
        with variant_api(deployment, bot) as fresh:
            tx = new_hash()
            make_reader(fresh).submit(tx)
            assert "Another admin" in fresh.press(ADMIN_IDS[1], tx, "Approve")
