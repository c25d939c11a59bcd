"""Where we are paid: the panel wins, only a superuser changes it, and everybody hears of it."""

from __future__ import annotations

import pytest

from manga_backend.kernel.backoffice.models import AuditEntry
from manga_backend.kernel.backoffice.types import CLI
from manga_backend.kernel.identity.types import Role
from manga_backend.kernel.money.chains.service import set_address
from manga_backend.kernel.money.chains.types import Network
from manga_backend.kernel.money.payments.models import Payment
from manga_backend.kit.problems import InvalidInput
from tests.conftest import Deployment
from tests.kernel.backoffice.test_panel import Panel
from tests.kernel.factories import at_work, make_reader, rows
from tests.kernel.money.payments.conftest import OURS, reading
from tests.kernel.money.payments.test_intents import minor, only_payment, promise, watch
from tests.kernel.money.payments.test_verify import look, sent, verdict_of
from tests.standins.chains import TronGridStandIn
from tests.standins.chains.tron import some_address
from tests.standins.telegram import BotApiStandIn
from tests.support import ADMIN_IDS, LOG_CHANNEL, Api, at_once

NEW = some_address("new shop")
PATH = "/admin/addresses"


def listed(api: Api) -> dict[str, str]:
    found: dict[str, str] = api.client().get("/api/plans").get_json()["addresses"]
    return found


class TestPanel:
    def test_a_superuser_changes_it_and_all_admins_hear(self, api: Api) -> None:
        panel = Panel(api, api.staff(Role.SUPERUSER).username)
        panel.post(f"{PATH}/tron", address=NEW)
        assert listed(api)["tron"] == NEW
        api.deliver()
        for chat in (*ADMIN_IDS, LOG_CHANNEL):
            assert (
                NEW in api.bot.wait_for_message(chat, contains="receiving address", timeout=30).text
            )
        (entry,) = rows(api.app, AuditEntry, AuditEntry.action == "address.changed")
        assert entry.before["address"] != NEW
        assert entry.after == {"address": NEW}

    def test_an_admin_sees_and_does_not_change(self, api: Api) -> None:
        panel = Panel(api, api.staff(Role.ADMIN).username)
        before = listed(api)
        assert before["tron"] in panel.get(f"{PATH}/").text
        assert panel.post(f"{PATH}/tron", address=NEW).status_code == 403
        assert listed(api) == before

    def test_support_does_not_even_see(self, api: Api) -> None:
        assert Panel(api, api.staff(Role.SUPPORT).username).get(f"{PATH}/").status_code == 403

    def test_what_is_no_address_changes_nothing(self, api: Api) -> None:
        panel = Panel(api, api.staff(Role.SUPERUSER).username)
        before = listed(api)
        for typed in ("nonsense", "0x" + "1" * 40, NEW[:-1] + "1"):
            assert "not an address of tron" in panel.post(f"{PATH}/tron", address=typed).text
        assert listed(api) == before

    def test_an_empty_one_takes_nothing_there(self, api: Api) -> None:
        panel = Panel(api, api.staff(Role.SUPERUSER).username)
        panel.post(f"{PATH}/tron", address="")
        assert "tron" not in listed(api)


class TestService:
    def test_the_same_again_is_no_change(self, api: Api) -> None:
        for changed in (True, False):
            with at_work(api.app):
                assert set_address(Network.TRON, NEW, CLI) is changed
        assert len(rows(api.app, AuditEntry, AuditEntry.action == "address.changed")) == 1

    def test_at_once_it_is_told_once(self, pg_api: Api) -> None:
        def change(_number: int) -> bool:
            with at_work(pg_api.app):
                return set_address(Network.TRON, NEW, CLI)

        assert sum(at_once(10, change)) == 1

    def test_refuses_by_network(self, api: Api) -> None:
        with pytest.raises(InvalidInput), at_work(api.app):
            set_address(Network.BSC, NEW, CLI)


class TestOldPromises:
    def test_what_was_promised_to_the_old_address_still_counts(
        self, trusting: Api, grid: TronGridStandIn
    ) -> None:
        intent = promise(make_reader(trusting))
        by_hash = sent(make_reader(trusting), grid.transfer(OURS, 5_000_000))
        with at_work(trusting.app):
            set_address(Network.TRON, NEW, CLI)
        later = promise(make_reader(trusting))
        assert (intent["address"], later["address"]) == (OURS, NEW)
        grid.transfer(OURS, minor(intent))
        watch(trusting)
        look(trusting)
        assert verdict_of(trusting, by_hash)["verdict"] == "match"
        settled = rows(trusting.app, Payment)
        assert [p.status for p in settled if p.intent_id] == ["approved"]

    def test_the_amount_at_the_other_address_settles_nothing(
        self, deployment: Deployment, bot: BotApiStandIn, grid: TronGridStandIn
    ) -> None:
        with reading(deployment, bot, grid, AUTO_APPROVE="intent") as api:
            old = promise(make_reader(api))
            with at_work(api.app):
                set_address(Network.TRON, NEW, CLI)
            new = promise(make_reader(api))
            grid.transfer(NEW, minor(old))
            grid.transfer(NEW, minor(new))
            watch(api)
            assert only_payment(api).address == NEW
