"""Invoices and payouts as Cryptomus keeps them, and how it tells of them.

Fields, their order and their formats are those of the examples at doc.cryptomus.com (payments and
payouts: creating, information, webhook). Guessed: the fees (2% of a payment and 0.30 for a payout,
as in those examples), which statuses are final, and that one unit of any currency is one dollar.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

from .signing import Number

PAYMENT_FEE = Decimal("0.02")
PAYOUT_FEE = Decimal("0.30")
CREDITED = frozenset({"paid", "paid_over", "wrong_amount"})
NOT_FINAL = frozenset({"check", "process", "confirm_check", "wrong_amount_waiting"})
UNPAID = frozenset({"check", "process", "cancel", "fail", "system_fail"})
FAILED_PAYOUT = frozenset({"fail", "cancel", "system_fail"})
PAYER = "TStandinPayerxxxxxxxxxxxxxxxxxxxxx"
MOSCOW = timezone(timedelta(hours=3))


def two_or_more(amount: Decimal) -> str:
    """15 → 15.00; 0.125 → 0.125: the API's answers."""
    exponent = amount.normalize().as_tuple().exponent
    assert isinstance(exponent, int)
    return f"{amount:.{max(2, -exponent)}f}"


def eight(amount: Decimal) -> str:
    """15 → 15.00000000: webhooks, so that nobody compares amounts as text."""
    return f"{amount:.8f}"


def number(amount: Decimal) -> Number:
    return Number(f"{amount.normalize():f}")


def moment(seconds: float) -> str:
    return datetime.fromtimestamp(int(seconds), MOSCOW).isoformat()


@dataclass(slots=True)
class Invoice:
    """`payment_amount` is what was paid, in `payer_currency`; None before anything was."""

    uuid: str
    order_id: str
    amount: Decimal
    currency: str
    url: str
    created_at: float
    expired_at: int
    url_callback: str | None = None
    additional_data: str | None = None
    network: str | None = None
    address: str | None = None
    payer_currency: str | None = None
    status: str = "check"
    payment_amount: Decimal | None = None
    txid: str | None = None
    updated_at: float = 0.0
    resends: int = 0
    credited: Decimal = Decimal(0)  # what the merchant's balance has received for it

    @property
    def is_final(self) -> bool:
        return self.status not in NOT_FINAL

    def settle(self, status: str, paid: Decimal | None, txid: str | None, now: float) -> None:
        """`paid`: None for what the status says: all, half of it, a tenth too much, nothing."""
        self.status = status
        self.updated_at = now
        if status in UNPAID:
            self.payment_amount, self.txid = Decimal(0), None
            return
        share = {"wrong_amount": Decimal("0.5"), "paid_over": Decimal("1.1")}
        self.payment_amount = self.amount * share.get(status, 1) if paid is None else paid
        self.txid = txid
        self.network = self.network or "tron"
        self.payer_currency = self.payer_currency or "USDT"

    def _merchant_amount(self) -> Decimal:
        paid = self.payment_amount or Decimal(0)
        return paid - paid * PAYMENT_FEE

    def take_credit(self) -> Decimal:
        """What is to be added to the merchant's balance now; nothing the second time."""
        due = self._merchant_amount() if self.status in CREDITED else Decimal(0)
        change = due - self.credited
        self.credited = due
        return change

    def answer(self) -> dict[str, Any]:
        """The result of /v1/payment and /v1/payment/info."""
        paid = self.payment_amount
        return {
            "uuid": self.uuid,
            "order_id": self.order_id,
            "amount": two_or_more(self.amount),
            "payment_amount": None if paid is None else two_or_more(paid),
            "payer_amount": two_or_more(self.amount) if self.payer_currency else None,
            "discount_percent": None,
            "discount": "0.00000000",
            "payer_currency": self.payer_currency,
            "currency": self.currency,
            "comments": None,
            "merchant_amount": None if paid is None else eight(self._merchant_amount()),
            "network": self.network,
            "address": self.address,
            "from": PAYER if paid else None,
            "txid": self.txid,
            "payment_status": self.status,
            "url": self.url,
            "expired_at": self.expired_at,
            "status": self.status,
            "is_final": self.is_final,
            "additional_data": self.additional_data,
            "created_at": moment(self.created_at),
            "updated_at": moment(self.updated_at or self.created_at),
        }

    def webhook(self) -> dict[str, Any]:
        """The body of a webhook, without `sign`; `convert` comes with auto-conversion only."""
        paid = self.payment_amount or Decimal(0)
        fields = {
            "type": "payment",
            "uuid": self.uuid,
            "order_id": self.order_id,
            "amount": eight(self.amount),
            "payment_amount": eight(paid),
            "payment_amount_usd": f"{paid:.2f}",
            "merchant_amount": eight(self._merchant_amount()),
            "commission": eight(paid * PAYMENT_FEE),
            "is_final": self.is_final,
            "status": self.status,
            "from": PAYER if paid else None,
            "wallet_address_uuid": None,
            "network": self.network,
            "currency": self.currency,
            "payer_currency": self.payer_currency,
            "payer_amount": eight(self.amount) if self.payer_currency else None,
            "payer_amount_exchange_rate": eight(Decimal(1)) if self.payer_currency else None,
            "transfer_id": None,
            "additional_data": self.additional_data,
        }
        return fields if self.txid is None else {**fields, "txid": self.txid}


@dataclass(slots=True)
class Payout:
    """`merchant_amount` is what `wallet`, a balance of the merchant, was charged for it."""

    uuid: str
    order_id: str
    amount: Decimal
    currency: str
    network: str
    address: str
    wallet: str
    is_subtract: bool
    url_callback: str | None = None
    status: str = "process"
    txid: str | None = None
    fail_reason: str | None = None
    was_returned: bool = False

    @property
    def is_final(self) -> bool:
        return self.status not in NOT_FINAL

    @property
    def merchant_amount(self) -> Decimal:
        return self.amount + PAYOUT_FEE if self.is_subtract else self.amount

    @property
    def payer_amount(self) -> Decimal:
        """What arrives at the address."""
        return self.merchant_amount - PAYOUT_FEE

    def settle(self, status: str, txid: str | None, fail_reason: str | None) -> None:
        self.status = status
        self.txid = txid if status == "paid" else None
        self.fail_reason = fail_reason

    def take_return(self) -> Decimal:
        """What goes back to the wallet because it failed; nothing the second time."""
        if self.status not in FAILED_PAYOUT or self.was_returned:
            return Decimal(0)
        self.was_returned = True
        return self.merchant_amount

    def answer(self, balance: Decimal) -> dict[str, Any]:
        """The result of /v1/payout and /v1/payout/info: it has numbers, and no order_id."""
        return {
            "uuid": self.uuid,
            "amount": f"{self.amount:f}",
            "currency": self.currency,
            "network": self.network,
            "address": self.address,
            "txid": self.txid,
            "status": self.status,
            "is_final": self.is_final,
            "balance": number(balance),
            "payer_currency": self.wallet,
            "payer_amount": number(self.payer_amount),
        }

    def webhook(self) -> dict[str, Any]:
        """The body of a webhook, without `sign`."""
        return {
            "type": "payout",
            "uuid": self.uuid,
            "order_id": self.order_id,
            "amount": eight(self.amount),
            "merchant_amount": eight(self.merchant_amount),
            "commission": eight(PAYOUT_FEE),
            "is_final": self.is_final,
            "status": self.status,
            **({"fail_reason": self.fail_reason} if self.fail_reason else {}),
            **({"txid": self.txid} if self.txid else {}),
            "currency": self.currency,
            "network": self.network,
            "payer_currency": self.wallet,
            "payer_amount": eight(self.payer_amount),
        }
