"""The reader's status in JSON."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import marshmallow as ma
from marshmallow import validate

from manga_backend.kernel.memberships.domain import days_remaining
from manga_backend.kit.clock import isoformat
from manga_backend.kit.http import Moment, Schema


class SubscriptionSchema(Schema):
    active = ma.fields.Boolean(required=True)
    plan = ma.fields.String(required=True, allow_none=True, metadata={"example": "monthly"})
    started_at = Moment(required=True, allow_none=True)
    expires_at = Moment(required=True, allow_none=True)
    days_remaining = ma.fields.Integer(
        required=True, metadata={"description": "Rounded up; 0 when not active."}
    )


class LastPaymentSchema(Schema):
    id = ma.fields.UUID(required=True)
    status = ma.fields.String(required=True)
    submitted_at = Moment(required=True)


class StatusSchema(Schema):
    username = ma.fields.String(required=True, allow_none=True)
    subscription = ma.fields.Nested(SubscriptionSchema, required=True)
    purchases_count = ma.fields.Integer(
        required=True, metadata={"description": "Approved payments, coupons included."}
    )
    pending_payments = ma.fields.Integer(required=True)
    last_payment = ma.fields.Nested(LastPaymentSchema, required=True, allow_none=True)
    unread_notifications = ma.fields.Integer(required=True)


class AccessQuerySchema(Schema):
    READ_ONCE = True  # nearly always `gate=nginx`

    class Meta:
        unknown = ma.EXCLUDE

    gate = ma.fields.String(
        validate=validate.OneOf(["nginx"]),
        metadata={"description": "Nginx's auth_request knows only 2xx, 401 and 403: no 402 then."},
    )
    path = ma.fields.String(
        validate=validate.Length(max=300),  # what 4 bytes each make of it fits a request line
        metadata={
            "description": "A folder of files: the answer is 200 with a signed address of it.",
            "example": "/manga/one-piece/12/",
        },
    )


class SignedFolderSchema(Schema):
    url = ma.fields.String(
        required=True,
        metadata={
            "description": "Of the folder, on the files' host; put a file's name after it.",
            "example": "/manga-signed/5oDRsm2ZbUBWT0uBzBrQQg/1795700000/one-piece/12/~/",
        },
    )
    expires_at = Moment(required=True)


def as_status(row: Mapping[Any, Any], now: datetime) -> dict[str, Any]:
    """The caller's row in the shape of two-manga.md, ready for JSON: StatusSchema documents it and
    tests hold it to that, while each page of the site asks for it (decision 22)."""
    started_at, expires_at = row["started_at"], row["expires_at"]
    last = None
    if row["last_payment_id"] is not None:
        last = {
            "id": row["last_payment_id"],
            "status": row["last_payment_status"].value,
            "submitted_at": isoformat(row["last_payment_submitted_at"]),
        }
    return {
        "username": row["username"],
        "subscription": {
            "active": expires_at is not None and expires_at > now,
            "plan": row["plan_code"],
            "started_at": isoformat(started_at) if started_at else None,
            "expires_at": isoformat(expires_at) if expires_at else None,
            "days_remaining": days_remaining(expires_at, now),
        },
        "purchases_count": row["purchases_count"],
        "pending_payments": row["pending_payments"],
        "last_payment": last,
        "unread_notifications": row["unread"],
    }
