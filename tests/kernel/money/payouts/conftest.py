"""A reader with money, and what is asked of a withdrawal."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

import pytest
import time_machine

from manga_backend.kernel.approvals.types import Decision
from manga_backend.kernel.backoffice.types import CLI
from manga_backend.kernel.money.gateways import jobs as gateway_jobs
from manga_backend.kernel.money.ledger.queries import prove
from manga_backend.kernel.money.ledger.service import correct
from manga_backend.kernel.money.payouts import jobs
from manga_backend.kit import clock
from tests.kernel.factories import admin, at_work, decide, make_reader
from tests.standins.chains.tron import some_address
from tests.standins.cryptomus import CryptomusStandIn
from tests.support import Api, Reader

THEIRS = some_address("reader")
MISTYPED = THEIRS[:-1] + ("a" if THEIRS[-1] != "a" else "b")
Shop = tuple[Api, CryptomusStandIn]


def rich(api: Api, amount: int = 50) -> Reader:
    """A reader with so many USDT in the wallet."""
    reader = make_reader(api)
    with at_work(api.app):
        user_id = api.user_id(reader)
        correct(
            user_id, amount * 10**6, "USDT", key=f"fill:{user_id}", note="for a test", actor=CLI
        )
    return reader


def withdraw(reader: Reader, amount: str = "20", **more: Any) -> dict[str, Any]:
    answer = reader.post("/payment/withdraw", {"amount": amount, "address": THEIRS, **more})
    assert answer.status_code == 202, answer.text
    found: dict[str, Any] = answer.get_json()
    return found


def refused(reader: Reader, **body: Any) -> tuple[int, str]:
    answer = reader.post("/payment/withdraw", {"amount": "20", "address": THEIRS, **body})
    return answer.status_code, answer.get_json()["code"]


def approve(api: Api, found: dict[str, Any], number: int = 1) -> None:
    decide(api.app, uuid.UUID(found["payment_id"]), Decision.APPROVE, admin(number))


def order_of(found: dict[str, Any]) -> str:
    return uuid.UUID(found["payment_id"]).hex


def send(api: Api) -> None:
    with api.app.app_context():
        jobs.send_due()


def handle(api: Api) -> None:
    with api.app.app_context():
        gateway_jobs.handle_webhooks()


def later(minutes: float) -> time_machine.travel:
    return time_machine.travel(clock.now() + timedelta(minutes=minutes))


def balance(reader: Reader) -> tuple[str, str]:
    """What may be spent, and what is reserved."""
    found = reader.get("/api/balance").get_json()
    return found["balance"], found["reserved"]


def status_of(reader: Reader, found: dict[str, Any]) -> str:
    return str(reader.get(f"/payment/withdraw/{found['payment_id']}").get_json()["status"])


def book_holds(api: Api) -> bool:
    with at_work(api.app):
        return prove().holds


@pytest.fixture
def sent(shop: Shop) -> tuple[Api, CryptomusStandIn, Reader, dict[str, Any]]:
    """Approved; the provider has the money for it."""
    api, provider = shop
    provider.balances["USDT"] = 100  # type: ignore[assignment]
    reader = rich(api)
    found = withdraw(reader)
    approve(api, found)
    return api, provider, reader, found
