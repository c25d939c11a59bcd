"""Withdrawals of which the provider can't be asked, or says what can't be."""

from __future__ import annotations

import threading
import time
import uuid
from typing import Any

from manga_backend.kernel.backoffice.models import AuditEntry
from manga_backend.kernel.backoffice.types import CLI
from manga_backend.kernel.identity.types import Role
from manga_backend.kernel.money.payouts.models import Payout
from manga_backend.kernel.money.payouts.service import sending
from manga_backend.kernel.notifications.models import Notification
from tests.conftest import Deployment
from tests.kernel.backoffice.test_panel import Panel
from tests.kernel.factories import at_work, count, rows
from tests.kernel.money.payouts.conftest import (
    approve,
    balance,
    handle,
    later,
    order_of,
    send,
    status_of,
    withdraw,
)
from tests.standins.cryptomus import CryptomusStandIn
from tests.standins.telegram import BotApiStandIn
from tests.support import ADMIN_IDS, new_hash
from tests.variants import variant_api


class TestWhatCannotBeAsked:
    """A key that is wrong or gone, another account, a number that is not ours."""

    def test_a_refusal_is_no_proof_that_it_was_not_sent(self, sent: Any) -> None:
        api, provider, reader, found = sent
        send(api)
        panel = Panel(api, api.staff().username)
        panel.post(f"/admin/payouts/give-back/{found['payment_id']}", reason="silent")
        provider.fail_next("/v1/payout/info", 3, status=401)
        for minutes in (12, 24):
            with later(minutes):
                send(api)
        assert status_of(reader, found) == "processing"
        assert balance(reader) == ("30.00", "20.00")

    def test_another_account_is_told_nothing(
        self, sent: Any, deployment: Deployment, bot: BotApiStandIn
    ) -> None:
        api, provider, reader, found = sent
        send(api)
        with CryptomusStandIn() as other:
            other.balances["USDT"] = 100  # type: ignore[assignment]
            changes = {
                **_keys(other, "WITHDRAW_BY"),
                "CRYPTOMUS_MERCHANT_ID": provider.merchant,
                "WITHDRAW_BY": "gateway",
            }
            with variant_api(deployment, bot, **changes) as moved, later(12):
                send(moved)
            assert other.calls == []
        (payout,) = rows(api.app, Payout)
        assert provider.url in payout.problem
        assert status_of(reader, found) == "processing"

    def test_without_a_key_people_are_told_and_decide(
        self, sent: Any, deployment: Deployment, bot: BotApiStandIn
    ) -> None:
        api, _provider, reader, found = sent
        send(api)
        with variant_api(deployment, bot, WITHDRAW_BY="hand") as later_on, later(12):
            send(later_on)
            assert "No payout key" in rows(later_on.app, Payout)[0].problem
            admin_panel = Panel(later_on, later_on.staff().username)
            path = f"/admin/payouts/{{}}/{found['payment_id']}"
            assert admin_panel.post(path.format("not-sent"), reason="x").status_code == 403
            boss = Panel(later_on, later_on.staff(Role.SUPERUSER).username)
            assert "1" in boss.get("/admin/").text
            boss.post(path.format("not-sent"), reason="looked: not there")
        assert status_of(reader, found) == "failed"
        assert balance(reader) == ("50.00", "0.00")
        assert count(api.app, AuditEntry, AuditEntry.action == "payout.vouched_not_sent") == 1

    def test_what_is_the_providers_and_right_is_not_decided_by_people(self, sent: Any) -> None:
        api, _provider, reader, found = sent
        send(api)
        boss = Panel(api, api.staff(Role.SUPERUSER).username)
        for action in ("not-sent", "paid"):
            form = {"reason": "x", "tx_hash": new_hash()}
            page = boss.post(f"/admin/payouts/{action}/{found['payment_id']}", **form)
            assert "is sending this" in page.text
        assert status_of(reader, found) == "processing"

    def test_another_number_is_told_once_and_a_person_ends_it(self, sent: Any) -> None:
        api, provider, reader, found = sent
        send(api)
        provider.payout_done(order_of(found), amount="19.00", move=False)
        provider.payout_done(order_of(found), amount="19.00", move=False)
        handle(api)
        wrong = [n for n in rows(api.app, Notification) if "speaks of 19" in n.text]
        assert len(wrong) == len({n.chat_id for n in wrong}) >= len(ADMIN_IDS)
        tx = new_hash()
        with later(11):
            boss = Panel(api, api.staff(Role.SUPERUSER).username)
            boss.post(f"/admin/payouts/paid/{found['payment_id']}", tx_hash=tx)
        assert status_of(reader, found) == "paid"

    def test_sent_after_it_was_given_back_is_told(self, sent: Any) -> None:
        api, provider, reader, found = sent
        send(api)
        provider.payout_done(order_of(found), "fail", move=False)
        handle(api)
        assert status_of(reader, found) == "failed"
        provider.payout_done(order_of(found), "paid")
        handle(api)
        assert any("though it was given back" in n.text for n in rows(api.app, Notification))
        assert balance(reader) == ("50.00", "0.00")

    def test_one_given_up_meanwhile_is_not_told_again(self, sent: Any) -> None:
        api, provider, _reader, found = sent
        second = withdraw(_reader, "10")
        approve(api, second)
        provider.fail_next("/v1/payout", delay=3.0)
        thread = threading.Thread(target=send, args=(api,))
        thread.start()
        while not provider.calls:
            time.sleep(0.02)
        with at_work(api.app):
            sending.give_up(uuid.UUID(second["payment_id"]), CLI, "stop")
        thread.join(30)
        assert [body["order_id"] for path, body in provider.calls if path == "/v1/payout"] == [
            order_of(found)
        ]


def _keys(provider: CryptomusStandIn, *but: str) -> dict[str, str]:
    keys = {
        "CRYPTOMUS_URL": provider.url,
        "CRYPTOMUS_MERCHANT_ID": provider.merchant,
        "CRYPTOMUS_PAYMENT_KEY": provider.payment_key,
        "CRYPTOMUS_PAYOUT_KEY": provider.payout_key,
    }
    return {name: value for name, value in keys.items() if name not in but}
