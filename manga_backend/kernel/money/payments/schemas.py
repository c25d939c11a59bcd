"""Payments in JSON."""

from __future__ import annotations

from typing import Any

import marshmallow as ma
from flask import Response, jsonify
from marshmallow import validate

from manga_backend.kernel.money.chains.types import Network
from manga_backend.kernel.money.payments.models import Payment, PaymentIntent
from manga_backend.kernel.money.payments.service.instant import Paid
from manga_backend.kit.http import AmountOf, Moment, Schema
from manga_backend.kit.money import decimal_string
from manga_backend.kit.qr import qr_of

NETWORKS = [network.value for network in Network]


class SubmitSchema(Schema):
    """Exactly one of `tx_hash` and `coupon_code`."""

    tx_hash = ma.fields.String(
        validate=validate.Length(min=1, max=128),
        metadata={"description": "As the explorer of the network writes it.", "example": "9f" * 32},
    )
    network = ma.fields.String(
        validate=validate.OneOf(NETWORKS),
        metadata={
            "description": "DEFAULT_NETWORK when left out; never guessed.",
            "example": "tron",
        },
    )
    plan = ma.fields.String(
        validate=validate.Length(min=1, max=64),
        metadata={"description": "The default plan when left out.", "example": "monthly"},
    )
    coupon_code = ma.fields.String(
        validate=validate.Length(min=1, max=64),
        metadata={"description": "Case, spaces and dashes don't matter."},
    )

    @ma.validates_schema
    def exactly_one(self, data: dict[str, Any], **_: Any) -> None:
        """Neither and both are refused; a coupon takes neither network nor plan."""
        if ("tx_hash" in data) == ("coupon_code" in data):
            raise ma.ValidationError("Send exactly one of tx_hash and coupon_code.", "tx_hash")
        if "coupon_code" in data:
            for name in ("network", "plan"):
                if name in data:
                    raise ma.ValidationError("Goes with tx_hash only.", name)


class VerificationSchema(Schema):
    verdict = ma.fields.String(
        required=True, metadata={"description": "What the chain says.", "example": "unchecked"}
    )
    confirmations = ma.fields.Integer()
    needed = ma.fields.Integer()


class SubmittedSchema(Schema):
    payment_id = ma.fields.UUID(required=True)
    status = ma.fields.String(required=True, metadata={"example": "pending"})
    verification = ma.fields.Nested(VerificationSchema, required=True)


class RedeemedSchema(Schema):
    """Days come with `days_added` and `expires_at`, credit with `credit_added` and `currency`."""

    payment_id = ma.fields.UUID(required=True)
    status = ma.fields.String(required=True, metadata={"example": "approved"})
    days_added = ma.fields.Integer(metadata={"example": 30})
    expires_at = Moment()
    credit_added = ma.fields.String(metadata={"example": "5.00"})
    currency = ma.fields.String(metadata={"example": "USDT"})


def as_paid(paid: Paid) -> dict[str, Any]:
    """The answer about a payment that was approved at once."""
    found: dict[str, Any] = {
        "payment_id": paid.payment.id,
        "status": paid.payment.status.value,
    }
    gave = paid.fulfilled
    if gave.credit is not None:
        return found | {"credit_added": str(gave.credit), "currency": gave.credit.currency}
    return found | {"days_added": gave.days_added, "expires_at": gave.expires_at}


class PaymentSchema(Schema):
    id = ma.fields.UUID(required=True)
    method = ma.fields.String(required=True, metadata={"example": "crypto"})
    status = ma.fields.String(required=True, metadata={"example": "pending"})
    plan = ma.fields.String(required=True, attribute="invoice.item_code")
    amount = ma.fields.Function(
        lambda payment: decimal_string(payment.amount, payment.currency),
        required=True,
        metadata={"type": "string", "example": "5.00"},
    )
    currency = ma.fields.String(required=True, metadata={"example": "USDT"})
    network = ma.fields.String(required=True, allow_none=True)
    tx_hash = ma.fields.String(required=True, allow_none=True, attribute="shown_hash")
    verification = ma.fields.Nested(VerificationSchema, required=True, allow_none=True)
    reason = ma.fields.String(required=True, allow_none=True)
    submitted_at = Moment(required=True)
    decided_at = Moment(required=True, allow_none=True)


class NewIntentSchema(Schema):
    plan = SubmitSchema._declared_fields["plan"]
    network = SubmitSchema._declared_fields["network"]
    coupon_code = ma.fields.String(
        validate=validate.Length(min=1, max=64),
        metadata={"description": "Of a percentage off the price."},
    )


class WalletPaymentSchema(Schema):
    plan = SubmitSchema._declared_fields["plan"]


class TopUpSchema(Schema):
    amount = AmountOf(
        "USDT",
        required=True,
        metadata={"description": "In USDT: digits and a point.", "example": "25.00"},
    )
    network = SubmitSchema._declared_fields["network"]


class IntentSchema(Schema):
    intent_id = ma.fields.UUID(required=True)
    status = ma.fields.String(required=True, metadata={"example": "open"})
    amount = ma.fields.String(
        required=True,
        metadata={"description": "Exactly this, to the last decimal.", "example": "5.003817"},
    )
    currency = ma.fields.String(required=True, metadata={"example": "USDT"})
    network = ma.fields.String(required=True, metadata={"example": "tron"})
    address = ma.fields.String(required=True)
    qr = ma.fields.String(
        required=True,
        metadata={"description": "The address as a QR code: a data: URL of an SVG."},
    )
    expires_at = Moment(required=True)
    payment_id = ma.fields.UUID(
        required=True,
        allow_none=True,
        metadata={"description": "The payment that its transfer made, once it came."},
    )


def as_intent(intent: PaymentIntent, payment: Payment | None = None) -> dict[str, Any]:
    """The answer about an intent."""
    return {
        "intent_id": intent.id,
        "status": intent.status.value,
        "amount": decimal_string(intent.amount, intent.currency),
        "currency": intent.currency,
        "network": intent.network.value,
        "address": intent.address,
        "qr": qr_of(intent.address),
        "expires_at": intent.expires_at,
        "payment_id": payment.id if payment else None,
    }


class CheckoutSchema(Schema):
    payment_id = ma.fields.UUID(required=True)
    url = ma.fields.String(required=True, metadata={"description": "Send the payer there."})
    expires_at = Moment(required=True, allow_none=True)


class InvoiceSchema(Schema):
    id = ma.fields.UUID(required=True)
    product = ma.fields.String(required=True, metadata={"example": "manga"})
    plan = ma.fields.String(required=True, attribute="item_code", metadata={"example": "monthly"})
    title = ma.fields.String(required=True)
    status = ma.fields.String(required=True, metadata={"example": "paid"})
    amount = ma.fields.Function(
        lambda invoice: decimal_string(invoice.amount, invoice.currency),
        required=True,
        metadata={"type": "string", "example": "5.00"},
    )
    currency = ma.fields.String(required=True, metadata={"example": "USDT"})
    created_at = Moment(required=True)
    expires_at = Moment(required=True, allow_none=True)
    paid_at = Moment(required=True, allow_none=True)


class ReceiptSchema(Schema):
    invoice = ma.fields.Nested(InvoiceSchema, required=True)
    payment = ma.fields.Nested(PaymentSchema, required=True, allow_none=True)


_submitted = SubmittedSchema()


def as_submitted(payment: Payment) -> Response:
    """202: the hash waits for a decision. The route's own schema is that of a coupon."""
    body = {
        "payment_id": payment.id,
        "status": payment.status.value,
        "verification": payment.verification,
    }
    response = jsonify(_submitted.dump(body))
    response.status_code = 202
    return response
