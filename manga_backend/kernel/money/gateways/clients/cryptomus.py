"""Cryptomus' merchant API, and Heleket's, which is the same text at another address."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Any

from manga_backend.kernel.money.gateways.domain import read_signed, signature
from manga_backend.kernel.money.gateways.errors import (
    GatewayAway,
    GatewayRefused,
    GatewayUnavailable,
)
from manga_backend.kernel.money.gateways.settings import GatewaySettings
from manga_backend.kernel.money.gateways.types import (
    Checkout,
    CheckoutStatus,
    Incoming,
    Remittance,
    RemittanceStatus,
)
from manga_backend.kit.calls import Caller, CallFailed
from manga_backend.kit.settings import settings

log = logging.getLogger(__name__)

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

SENT = {
    "paid": RemittanceStatus.PAID,
    "fail": RemittanceStatus.FAILED,
    "cancel": RemittanceStatus.FAILED,
    "system_fail": RemittanceStatus.FAILED,
}
"""Of payouts; process and check are under way."""

NETWORKS = {
    "tron": "tron",
    "ethereum": "eth",
    "bsc": "bsc",
    "polygon": "polygon",
    "ton": "ton",
}
"""Theirs, of those on which they send USDT."""


UNKNOWN = frozenset({"Payment not found", "Payout not found", "Not found payment"})
"""What they say of an order that they have never heard of; all else is another refusal."""


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
        found = self._find("/v1/payment/info", order_id)
        return _checkout(found) if found else None

    def send(
        self, order: Remittance, network: str, address: str, callback: str | None
    ) -> Remittance:
        fields: dict[str, Any] = {
            "amount": order.amount,
            "currency": order.currency,
            "network": NETWORKS[network],
            "order_id": order.order_id,
            "address": address,
            "is_subtract": False,  # the network's fee is taken from the amount, not from us
        }
        if callback:
            fields["url_callback"] = callback
        return _remittance(self._ask("/v1/payout", fields), order.order_id)

    def find_remittance(self, order_id: str) -> Remittance | None:
        found = self._find("/v1/payout/info", order_id)
        return _remittance(found, order_id) if found else None

    def _find(self, path: str, order_id: str) -> dict[str, Any] | None:
        try:
            return self._ask(path, {"order_id": order_id})
        except GatewayRefused as refusal:
            if refusal.is_unknown:
                return None
            raise

    def read_webhook(self, body: bytes) -> Incoming | None:
        """Signed with one of the two keys: which of them signs what is not documented."""
        fields = None
        for key in filter(None, (self._config.payment_key, self._config.payout_key)):
            fields = fields or read_signed(body, key)
        if fields is None or not fields.get("order_id"):
            return None
        event = f"{fields.get('uuid')}:{fields.get('status')}:{fields.get('amount')}"
        if fields.get("type") == "payout":
            return Incoming(event[:200], _remittance(fields, str(fields["order_id"])))
        return Incoming(event[:200], _checkout(fields))

    def _ask(self, path: str, fields: Mapping[str, Any]) -> dict[str, Any]:
        body = json.dumps(fields).encode()
        config = self._config
        key = config.payout_key if path.startswith("/v1/payout") else config.payment_key
        headers = {
            "Content-Type": "application/json",
            "merchant": config.merchant,
            "sign": signature(body, key),
        }
        url = f"{config.url}{path}"
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
            words = str(found.get("message") or found.get("errors") or f"HTTP {answer.status}")
            is_unknown = answer.status in (404, 422) and words in UNKNOWN
            raise GatewayRefused(words[:300], is_unknown=is_unknown)
        result: dict[str, Any] = found["result"]
        return result


def open_page(order_id: str, amount: str, currency: str) -> Checkout:
    """The provider's page for an order, or the one that it has already. GatewayUnavailable, with
    the provider's words in the log."""
    config = settings(GatewaySettings)
    try:
        return Cryptomus(config).create_checkout(order_id, amount, currency, config.callback_url)
    except (GatewayAway, GatewayRefused) as error:
        log.error("the payment provider: %s", error)
        raise GatewayUnavailable from None


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


def _remittance(result: dict[str, Any], order_id: str) -> Remittance:
    """Their answers about payouts bear no order_id."""
    return Remittance(
        order_id=order_id,
        status=SENT.get(str(result.get("status")), RemittanceStatus.UNDER_WAY),
        amount=str(result.get("amount")),
        currency=str(result.get("currency")),
        tx_hash=str(result["txid"]) if result.get("txid") else None,
        reference=str(result.get("uuid") or "") or None,
        reason=str(result["fail_reason"]) if result.get("fail_reason") else None,
    )
