"""Cryptomus' merchant API, and Heleket's, which is the same text at another address."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Any

from manga_backend.kernel.money.gateways.domain import read_signed, signature
from manga_backend.kernel.money.gateways.errors import GatewayAway, GatewayRefused
from manga_backend.kernel.money.gateways.settings import GatewaySettings
from manga_backend.kernel.money.gateways.types import Checkout, CheckoutStatus, Incoming
from manga_backend.kit.calls import Caller, CallFailed

LIFETIME_SECONDS = 3600

STATUSES = {
    "paid": CheckoutStatus.PAID,
    "paid_over": CheckoutStatus.PAID,
    "wrong_amount": CheckoutStatus.UNDERPAID,
    "fail": CheckoutStatus.FAILED,
    "cancel": CheckoutStatus.FAILED,
    "system_fail": CheckoutStatus.FAILED,
}
"""All else (check, process, confirm_check …) is still under way; refunds move nothing here."""


@cache
def _caller() -> Caller:
    return Caller()


class Cryptomus:
    """One merchant (gateways.types.Gateway)."""

    def __init__(self, config: GatewaySettings) -> None:
        self._config = config

    def create_checkout(
        self, order_id: str, amount: str, currency: str, callback_url: str | None
    ) -> Checkout:
        fields: dict[str, Any] = {
            "amount": amount,
            "currency": currency,
            "order_id": order_id,
            "lifetime": LIFETIME_SECONDS,
            "is_payment_multiple": False,
        }
        if callback_url:
            fields["url_callback"] = callback_url
        return _checkout(self._ask("/v1/payment", fields))

    def find_checkout(self, order_id: str) -> Checkout | None:
        try:
            return _checkout(self._ask("/v1/payment/info", {"order_id": order_id}))
        except GatewayRefused:
            return None

    def read_webhook(self, body: bytes) -> Incoming | None:
        fields = read_signed(body, self._config.payment_key)
        if fields is None or not fields.get("order_id"):
            return None
        event = f"{fields.get('uuid')}:{fields.get('status')}:{fields.get('amount')}"
        return Incoming(event_id=event[:200], checkout=_checkout(fields))

    def _ask(self, path: str, fields: Mapping[str, Any]) -> dict[str, Any]:
        body = json.dumps(fields).encode()
        headers = {
            "Content-Type": "application/json",
            "merchant": self._config.merchant,
            "sign": signature(body, self._config.payment_key),
        }
        url = f"{self._config.url}{path}"
        try:
            answer = _caller().send("POST", url, body=body, headers=headers)
        except CallFailed as failure:
            raise GatewayAway(failure.words) from None
        try:
            found = json.loads(answer.body)
        except ValueError:
            raise GatewayAway(f"HTTP {answer.status}, not JSON") from None
        if not isinstance(found, dict) or answer.status >= 500 or answer.status == 429:
            raise GatewayAway(f"HTTP {answer.status}")
        if found.get("state") != 0 or not isinstance(found.get("result"), dict):
            words = found.get("message") or found.get("errors") or f"HTTP {answer.status}"
            raise GatewayRefused(str(words)[:300])
        result: dict[str, Any] = found["result"]
        return result


def _checkout(result: dict[str, Any]) -> Checkout:
    status = str(result.get("payment_status") or result.get("status") or "")
    expires = result.get("expired_at")
    return Checkout(
        order_id=str(result.get("order_id")),
        status=STATUSES.get(status, CheckoutStatus.WAITING),
        amount=str(result.get("amount")),
        currency=str(result.get("currency")),
        url=str(result["url"]) if result.get("url") else None,
        expires_at=datetime.fromtimestamp(expires, UTC) if isinstance(expires, int) else None,
        paid=str(result["payment_amount"]) if result.get("payment_amount") else None,
        reference=str(result.get("uuid") or "") or None,
    )
