"""Wallets and their transfers in JSON."""

from __future__ import annotations

from typing import Any

import marshmallow as ma
from marshmallow import validate

from manga_backend.kernel.money.ledger.models import Transfer
from manga_backend.kernel.money.ledger.types import Wallet, WalletStyle
from manga_backend.kit.http import Moment, Schema
from manga_backend.kit.money import EXPONENTS, WALLET_CURRENCIES, decimal_string


class CurrencySchema(Schema):
    currency = ma.fields.String(
        validate=validate.OneOf(WALLET_CURRENCIES),
        metadata={"description": "Of the wallet that is asked for."},
    )


def _amount(description: str) -> ma.fields.Raw:
    """A decimal text, or for some products' clients a whole number."""
    kinds = [{"type": "string", "example": "5.00"}, {"type": "integer", "example": 98}]
    return ma.fields.Raw(required=True, metadata={"description": description, "oneOf": kinds})


class BalanceSchema(Schema):
    balance = _amount("What may be spent.")
    currency = ma.fields.String(required=True, metadata={"example": "USDT"})
    reserved = _amount("Kept for payouts under way.")


class WalletTransferSchema(Schema):
    id = ma.fields.String(required=True)
    type = ma.fields.String(required=True, metadata={"example": "top_up"})
    state = ma.fields.String(required=True, metadata={"example": "posted"})
    amount = _amount("Negative when it went out.")
    currency = ma.fields.String(required=True, metadata={"example": "USDT"})
    balance_after = _amount("What could be spent then.")
    about = ma.fields.String(required=True, metadata={"example": "payment:0193…"})
    created_at = Moment(required=True)


def _written(amount: int, currency: str, style: WalletStyle | None) -> str | int:
    """Parts of a whole unit, which only an admin's correction can bring, are left out."""
    if style is None or not style.whole or currency != style.currency:
        return decimal_string(amount, currency)
    whole: int = abs(amount) // 10 ** EXPONENTS[currency]
    return -whole if amount < 0 else whole


def as_balance(wallet: Wallet, style: WalletStyle | None) -> dict[str, str | int]:
    """The answer about one wallet."""
    return {
        "balance": _written(wallet.available, wallet.currency, style),
        "currency": wallet.currency,
        "reserved": _written(wallet.reserved, wallet.currency, style),
    }


def as_transfer(row: Any, style: WalletStyle | None) -> dict[str, Any]:
    """One row of `wallet_transfers`."""
    transfer: Transfer = row.Transfer
    return {
        "id": str(transfer.id),
        "type": (style.word_for(transfer.kind, transfer.subject) if style else transfer.kind.value),
        "state": transfer.state.value,
        "amount": _written(row.change, transfer.currency, style),
        "currency": transfer.currency,
        "balance_after": _written(row.balance_after or 0, transfer.currency, style),
        "about": transfer.subject,
        "created_at": transfer.created_at,
    }
