"""A superuser puts a wallet right in the panel: once, audited, and the user is told."""

from __future__ import annotations

import uuid

from manga_backend.kernel.backoffice.models import AuditEntry
from manga_backend.kernel.backoffice.types import CLI
from manga_backend.kernel.identity.models import User
from manga_backend.kernel.identity.types import Role
from manga_backend.kernel.money.ledger import queries, service
from manga_backend.kernel.notifications.models import Notification
from tests.kernel.backoffice.test_panel import Panel
from tests.kernel.factories import at_work, get_user, make_user, rows
from tests.support import Api, at_once

PATH = "/admin/wallets/"


def balance(api: Api, user_id: int) -> int:
    with at_work(api.app):
        return queries.find_wallet(user_id, "USDT").balance


def typed(user: User, amount: str, **more: str) -> dict[str, str]:
    return {
        "username": user.username,
        "amount": amount,
        "currency": "USDT",
        "reason": "A transfer without a hash",
        "form": str(uuid.uuid4()),
        **more,
    }


def told(api: Api) -> list[Notification]:
    return rows(
        api.app,
        Notification,
        Notification.kind == "wallet_corrected",
        Notification.channel == "telegram",
    )


class TestCorrect:
    def test_puts_in_and_takes_out(self, api: Api) -> None:
        panel = Panel(api, api.staff(Role.SUPERUSER).username)
        user = get_user(api.app, make_user(api.app))
        page = panel.post(PATH, **typed(user, "5"))
        assert "5.00" in page.text
        panel.post(PATH, **typed(user, "-1.25"))
        assert balance(api, user.id) == 3_750_000
        entries = rows(api.app, AuditEntry, AuditEntry.action == "wallet.corrected")
        assert [entry.after["amount"] for entry in entries] == [5_000_000, -1_250_000]
        texts = [one.text for one in told(api)]
        assert len(texts) == 2
        assert all("A transfer without a hash" in text for text in texts)

    def test_the_same_form_twice_counts_once(self, api: Api) -> None:
        panel = Panel(api, api.staff(Role.SUPERUSER).username)
        user = get_user(api.app, make_user(api.app))
        form = typed(user, "5")
        panel.post(PATH, **form)
        panel.post(PATH, **form)
        assert (balance(api, user.id), len(told(api))) == (5_000_000, 1)

    def test_at_once_it_counts_once(self, pg_api: Api) -> None:
        user = get_user(pg_api.app, make_user(pg_api.app))

        def put(_number: int) -> None:
            with at_work(pg_api.app):
                service.correct_wallet(
                    user.id, 5_000_000, "USDT", key="correction:1", reason="once", actor=CLI
                )

        at_once(10, put)
        assert (balance(pg_api, user.id), len(told(pg_api))) == (5_000_000, 1)

    def test_takes_no_more_than_there_is(self, api: Api) -> None:
        panel = Panel(api, api.staff(Role.SUPERUSER).username)
        user = get_user(api.app, make_user(api.app))
        panel.post(PATH, **typed(user, "1"))
        page = panel.post(PATH, **typed(user, "-1.01"))
        assert "not enough money" in page.text
        assert (balance(api, user.id), len(told(api))) == (1_000_000, 1)

    def test_what_is_no_amount_changes_nothing(self, api: Api) -> None:
        panel = Panel(api, api.staff(Role.SUPERUSER).username)
        user = get_user(api.app, make_user(api.app))
        for amount in ("", "0", "--1", "1e3", "nan", "1.0000001", "9" * 30):
            assert "are needed" in panel.post(PATH, **typed(user, amount)).text
        assert "are needed" in panel.post(PATH, **typed(user, "1", reason=" ")).text
        for other in ({"currency": "XYZ"}, {"form": "1"}):
            assert panel.post(PATH, **typed(user, "1", **other)).status_code == 400
        assert balance(api, user.id) == 0

    def test_is_for_superusers(self, api: Api) -> None:
        panel = Panel(api, api.staff(Role.ADMIN).username)
        user = get_user(api.app, make_user(api.app))
        assert panel.post(PATH, **typed(user, "5")).status_code in (403, 404)
        assert balance(api, user.id) == 0
