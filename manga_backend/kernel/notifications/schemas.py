"""The inbox and device tokens in JSON."""

from __future__ import annotations

import marshmallow as ma
from marshmallow import validate

from manga_backend.kernel.notifications.service.devices import Platform
from manga_backend.kit.http import Moment, Schema


class InboxItemSchema(Schema):
    id = ma.fields.Integer(required=True)
    kind = ma.fields.String(required=True, metadata={"example": "payment_approved"})
    text = ma.fields.String(required=True, metadata={"description": "Plain text."})
    is_read = ma.fields.Function(lambda row: row.read_at is not None, required=True)
    created_at = Moment(required=True)


class UnreadCountSchema(Schema):
    unread = ma.fields.Integer(required=True)


class MarkedSchema(Schema):
    marked = ma.fields.Integer(required=True)


class DeletedSchema(Schema):
    deleted = ma.fields.Integer(required=True)


class NewDeviceSchema(Schema):
    token = ma.fields.String(
        required=True,
        validate=validate.Length(min=1, max=512),
        metadata={"description": "What the push service calls this app on this device."},
    )
    platform = ma.fields.String(required=True, validate=validate.OneOf([p.value for p in Platform]))


class DeviceSchema(Schema):
    platform = ma.fields.String(required=True, metadata={"example": "android"})
    created_at = Moment(required=True)
    seen_at = Moment(required=True, metadata={"description": "When it was last registered."})
