"""Broadcasts in JSON."""

from __future__ import annotations

from typing import Any

import marshmallow as ma
from marshmallow import validate

from manga_backend.kernel.broadcasts.types import Audience, Draft, State
from manga_backend.kit.http import Moment, Schema
from manga_backend.kit.settings import LANGUAGES

_TEXTS = {
    "description": "Language → Telegram HTML (b, i, u, s, a, code, pre, blockquote, tg-spoiler). "
    "Readers of a language without a text get DEFAULT_LANGUAGE's, else English, else any.",
    "example": {"en": "<b>New!</b> Chapter 12 is out."},
}
_AUDIENCE = {
    "description": "By subscription: active, expiring (ends within 7 days), expired, or all.",
    "example": "active",
}
_PRODUCT = {"description": "Only subscriptions of this product count.", "example": "manga"}
_LANGUAGE = {"description": "Only users of this language.", "example": "fa"}


class ChangesSchema(Schema):
    """All fields may be left out."""

    texts = ma.fields.Dict(
        keys=ma.fields.String(validate=validate.OneOf(LANGUAGES)),
        values=ma.fields.String(),
        validate=validate.Length(min=1),
        metadata=_TEXTS,
    )
    audience = ma.fields.Enum(Audience, by_value=True, metadata=_AUDIENCE)
    product = ma.fields.String(
        allow_none=True, validate=validate.Length(min=1, max=32), metadata=_PRODUCT
    )
    language = ma.fields.String(
        allow_none=True, validate=validate.OneOf(LANGUAGES), metadata=_LANGUAGE
    )


class NewBroadcastSchema(ChangesSchema):
    """`texts` is needed; the audience is all unless it is narrowed."""

    texts = ma.fields.Dict(
        keys=ma.fields.String(validate=validate.OneOf(LANGUAGES)),
        values=ma.fields.String(),
        required=True,
        validate=validate.Length(min=1),
        metadata=_TEXTS,
    )

    @ma.post_load
    def as_draft(self, data: dict[str, Any], **_: Any) -> Draft:
        """What the service takes."""
        return Draft(**data)


class CountsSchema(Schema):
    audience = ma.fields.Integer(
        required=True,
        metadata={"description": "Users: as counted at the start, now for a draft.", "example": 90},
    )
    left = ma.fields.Integer(
        required=True, metadata={"description": "Users whose turn has not come.", "example": 30}
    )
    queued = ma.fields.Integer(
        required=True,
        metadata={"description": "Telegram messages so far; the next five share it out."},
    )
    sent = ma.fields.Integer(required=True, metadata={"example": 50})
    blocked = ma.fields.Integer(
        required=True,
        metadata={"description": "They blocked the bot, never started it, or are gone."},
    )
    failed = ma.fields.Integer(required=True, metadata={"description": "Given up."})
    waiting = ma.fields.Integer(required=True, metadata={"description": "Not sent yet, or held."})
    cancelled = ma.fields.Integer(required=True)


class BroadcastSchema(Schema):
    id = ma.fields.UUID(required=True)
    state = ma.fields.Enum(State, by_value=True, required=True, metadata={"example": "running"})
    texts = ma.fields.Dict(
        keys=ma.fields.String(), values=ma.fields.String(), required=True, metadata=_TEXTS
    )
    audience = ma.fields.Enum(Audience, by_value=True, required=True, metadata=_AUDIENCE)
    product = ma.fields.String(required=True, allow_none=True, metadata=_PRODUCT)
    language = ma.fields.String(required=True, allow_none=True, metadata=_LANGUAGE)
    created_by = ma.fields.String(required=True, attribute="created_by_label")
    created_at = Moment(required=True)
    started_at = Moment(required=True, allow_none=True)
    finished_at = Moment(
        required=True, allow_none=True, metadata={"description": "Finished or cancelled."}
    )


class ListedBroadcastSchema(BroadcastSchema):
    audience_size = ma.fields.Integer(
        required=True,
        allow_none=True,
        metadata={"description": "Users, as counted at the start; null before.", "example": 90},
    )


class ReportSchema(BroadcastSchema):
    counts = ma.fields.Nested(CountsSchema, required=True)
    percent = ma.fields.Integer(
        required=True,
        metadata={"description": "Of the audience; 100 when finished.", "example": 66},
    )


class PreviewSchema(Schema):
    audience = ma.fields.Integer(
        required=True, metadata={"description": "Users who would get it now.", "example": 90}
    )
    texts = ma.fields.Dict(
        keys=ma.fields.String(),
        values=ma.fields.String(),
        required=True,
        metadata={"description": "Language → what its readers get."},
    )


class TestedSchema(Schema):
    queued = ma.fields.Integer(
        required=True, metadata={"description": "Messages on their way to you.", "example": 1}
    )
