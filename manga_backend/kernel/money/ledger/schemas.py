"""Wallets and their transfers in JSON."""

from __future__ import annotations

from typing import Any

import marshmallow as ma
from marshmallow import validate

from manga_backend.kernel.money.ledger.models import Transfer
from manga_backend.kernel.money.ledger.types import Wallet
from manga_backend.kit.http import Moment, Schema
from manga_backend.kit.money import EXPONENTS, decimal_string


class CurrencySchema(Schema):
    currency = ma.fields.String(
        load_default="USDT",
        validate=validate.OneOf(sorted(EXPONENTS)),
        metadata={"description": "Of the wallet that is asked for."},
    )


class BalanceSchema(Schema):
    balance = ma.fields.String(
        required=True, metadata={"description": "What may be spent.", "example": "5.00"}
    )
    currency = ma.fields.String(required=True, metadata={"example": "USDT"})
    reserved = ma.fields.String(
        required=True, metadata={"description": "Kept for payouts under way.", "example": "0.00"}
    )


class WalletTransferSchema(Schema):
    id = ma.fields.String(required=True)
    type = ma.fields.String(required=True, metadata={"example": "top_up"})
    state = ma.fields.String(required=True, metadata={"example": "posted"})
    amount = ma.fields.String(
        required=True, metadata={"description": "Negative when it went out.", "example": "-5.00"}
    )
    currency = ma.fields.String(required=True, metadata={"example": "USDT"})
    balance_after = ma.fields.String(required=True, metadata={"example": "0.00"})
    about = ma.fields.String(required=True, metadata={"example": "payment:0193…"})
    created_at = Moment(required=True)


def as_balance(wallet: Wallet) -> dict[str, str]:
    """The answer about one wallet."""
    return {
        "balance": decimal_string(wallet.available, wallet.currency),
        "currency": wallet.currency,
        "reserved": decimal_string(wallet.reserved, wallet.currency),
    }


def as_transfer(row: Any) -> dict[str, Any]:
    """One row of `wallet_transfers`."""
    transfer: Transfer = row.Transfer
    return {
        "id": str(transfer.id),
        "type": transfer.kind.value,
        "state": transfer.state.value,
        "amount": decimal_string(row.change, transfer.currency),
        "currency": transfer.currency,
        "balance_after": decimal_string(row.balance_after or 0, transfer.currency),
        "about": transfer.subject,
        "created_at": transfer.created_at,
    }
