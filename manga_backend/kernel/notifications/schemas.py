"""The inbox in JSON."""

from __future__ import annotations

import marshmallow as ma

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
