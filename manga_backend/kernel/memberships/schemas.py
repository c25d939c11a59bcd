"""Plans and coupons of days in JSON."""

from __future__ import annotations

from typing import Any

import marshmallow as ma
from marshmallow import validate

from manga_backend.kit.http import Moment, Schema
from manga_backend.kit.i18n import language
from manga_backend.kit.money import decimal_string

MAX_DAYS = 3650
MAX_COUNT = 1000
MAX_USES = 2**31 - 1


class PlansQuerySchema(Schema):
    class Meta:
        unknown = ma.EXCLUDE

    product = ma.fields.String(validate=validate.Length(min=1, max=32))


class PlanSchema(Schema):
    code = ma.fields.String(required=True, metadata={"example": "monthly"})
    name = ma.fields.Function(
        lambda plan: plan.name(language()), required=True, metadata={"type": "string"}
    )
    days = ma.fields.Integer(required=True, metadata={"example": 30})
    price = ma.fields.Function(
        lambda plan: decimal_string(plan.price, plan.currency),
        required=True,
        metadata={"type": "string", "example": "5.00"},
    )
    currency = ma.fields.String(required=True, metadata={"example": "USDT"})


class PlansSchema(Schema):
    plans = ma.fields.List(ma.fields.Nested(PlanSchema), required=True)
    addresses = ma.fields.Dict(
        keys=ma.fields.String(),
        values=ma.fields.String(),
        required=True,
        metadata={"description": "Network → the address to pay to."},
    )
    default_plan = ma.fields.String(required=True, allow_none=True)
    default_network = ma.fields.String(required=True, metadata={"example": "tron"})


class NewCouponSchema(Schema):
    days = ma.fields.Integer(
        required=True,
        strict=True,
        validate=validate.Range(min=1, max=MAX_DAYS),
        metadata={"description": "Of the default plan.", "example": 30},
    )
    count = ma.fields.Integer(
        load_default=1, strict=True, validate=validate.Range(min=1, max=MAX_COUNT)
    )
    max_uses = ma.fields.Integer(
        load_default=1, strict=True, validate=validate.Range(min=1, max=MAX_USES)
    )
    expires_at = Moment(load_default=None, allow_none=True)
    note = ma.fields.String(load_default=None, allow_none=True, validate=validate.Length(max=500))


class CouponsSchema(Schema):
    code = ma.fields.String(required=True, metadata={"example": "7H2K-9QX4-TB0M"})
    codes = ma.fields.List(ma.fields.String(), required=True)
    days = ma.fields.Integer(required=True)
    max_uses = ma.fields.Integer(required=True)
    expires_at = Moment(required=True, allow_none=True)


def as_coupons(codes: list[str], asked: dict[str, Any]) -> dict[str, Any]:
    """The answer to a new batch."""
    return {
        "code": codes[0],
        "codes": codes,
        "days": asked["days"],
        "max_uses": asked["max_uses"],
        "expires_at": asked["expires_at"],
    }
