"""Withdrawals in JSON."""

from __future__ import annotations

from typing import Any

import marshmallow as ma
from marshmallow import validate

from manga_backend.kernel.money.payouts.settings import CURRENCY
from manga_backend.kernel.money.payouts.types import NETWORKS, Limits
from manga_backend.kit.http import AmountOf, Moment, Schema


class WithdrawSchema(Schema):
    amount = AmountOf(
        CURRENCY,
        required=True,
        metadata={"description": "In USDT: digits and a point.", "example": "25.00"},
    )
    network = ma.fields.String(
        load_default="tron",
        validate=validate.OneOf([network.value for network in NETWORKS]),
        metadata={"example": "tron"},
    )
    address = ma.fields.String(
        required=True,
        validate=validate.Length(min=1, max=128),
        metadata={
            "description": "The caller's own. The network's fee is taken from the amount.",
            "example": "TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6t",
        },
    )


class LimitsSchema(Schema):
    withdrawable = ma.fields.String(
        required=True,
        metadata={"description": "The wallet without gifts.", "example": "25.00"},
    )
    least = ma.fields.String(required=True, metadata={"example": "5.00"})
    most = ma.fields.String(required=True, metadata={"example": "1000.00"})
    currency = ma.fields.String(required=True, metadata={"example": "USDT"})
    networks = ma.fields.List(ma.fields.String(), required=True)


def as_limits(limits: Limits) -> dict[str, Any]:
    """The answer about them."""
    return {
        **{name: str(getattr(limits, name)) for name in ("withdrawable", "least", "most")},
        "currency": limits.withdrawable.currency,
        "networks": [network.value for network in NETWORKS],
    }


class PayoutSchema(Schema):
    payment_id = ma.fields.UUID(required=True, attribute="id")
    status = ma.fields.String(required=True, metadata={"example": "pending"})
    amount = ma.fields.Function(
        lambda payout: str(payout.money),
        required=True,
        metadata={"type": "string", "example": "25.00"},
    )
    currency = ma.fields.String(required=True, metadata={"example": "USDT"})
    network = ma.fields.String(required=True, metadata={"example": "tron"})
    address = ma.fields.String(required=True)
    tx_hash = ma.fields.String(required=True, allow_none=True, attribute="shown_hash")
    reason = ma.fields.String(required=True, allow_none=True)
    requested_at = Moment(required=True)
    finished_at = Moment(required=True, allow_none=True)
