"""What Telegram brings."""

from __future__ import annotations

import marshmallow as ma

from manga_backend.kit.db import MAX_ID
from manga_backend.kit.http import Schema


class UpdateSchema(Schema):
    """An Update of the Bot API; its many optional fields are kept as they come."""

    class Meta:
        unknown = ma.INCLUDE

    update_id = ma.fields.Integer(
        required=True,
        strict=True,
        validate=ma.validate.Range(0, MAX_ID),
        metadata={"description": "Counts up; one delivered twice is handled once.", "example": 1},
    )


class WebhookAnswerSchema(ma.Schema):
    """Nothing, or the Bot API call that answers whoever pressed a button or is about to pay."""

    method = ma.fields.String(metadata={"example": "answerCallbackQuery"})
    callback_query_id = ma.fields.String()
    text = ma.fields.String()
    pre_checkout_query_id = ma.fields.String()
    ok = ma.fields.Boolean()
    error_message = ma.fields.String()
