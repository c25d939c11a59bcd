"""Accounts and sessions in JSON."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

import marshmallow as ma
from marshmallow import validate

from manga_backend.kernel.identity.domain import (
    MAX_PASSWORD,
    MAX_TELEGRAM_ID,
    MIN_PASSWORD,
    USERNAME,
)
from manga_backend.kernel.identity.models import Session
from manga_backend.kit.http import Moment, Schema


def _username() -> ma.fields.String:
    return ma.fields.String(
        required=True,
        validate=[
            validate.Length(min=3, max=32),
            validate.Regexp(rf"{USERNAME.pattern}\Z", error="Only A–Z a–z 0–9 . _ - are allowed."),
        ],
        metadata={
            "description": "3–32 of A–Z a–z 0–9 . _ -; case does not matter for signing in.",
            "example": "reader_1",
            "pattern": "^[A-Za-z0-9._-]{3,32}$",
        },
    )


def _new_password() -> ma.fields.String:
    return ma.fields.String(
        required=True,
        load_only=True,
        validate=validate.Length(min=MIN_PASSWORD, max=MAX_PASSWORD),
        metadata={"example": "correct horse battery", "format": "password"},
    )


class RegisterSchema(Schema):
    username = _username()
    password = _new_password()
    telegram_id = ma.fields.Integer(
        required=True,
        strict=True,
        validate=validate.Range(min=1, max=MAX_TELEGRAM_ID),
        metadata={"description": "Where notices go; verified later by a link.", "example": 700123},
    )


class RegisteredSchema(Schema):
    id = ma.fields.UUID(required=True, attribute="public_id")
    username = ma.fields.String(required=True)
    telegram_id = ma.fields.Integer(required=True)


class ProductSchema(Schema):
    product = ma.fields.String(
        validate=validate.Length(min=1, max=32),
        metadata={
            "description": "What the session counts for; without it the first that is on.",
        },
    )


class LoginSchema(ProductSchema):
    username = ma.fields.String(
        required=True, validate=validate.Length(min=1, max=128), metadata={"example": "reader_1"}
    )
    password = ma.fields.String(
        required=True,
        load_only=True,
        validate=validate.Length(min=1, max=MAX_PASSWORD),
        metadata={"example": "correct horse battery", "format": "password"},
    )
    code = ma.fields.String(
        load_only=True,
        validate=validate.Length(max=64),
        metadata={"description": "Of the authenticator, for accounts that have one."},
    )


class TokensSchema(Schema):
    access_token = ma.fields.String(required=True)
    refresh_token = ma.fields.String(required=True)
    token_type = ma.fields.String(required=True, metadata={"example": "Bearer"})
    expires_in = ma.fields.Integer(
        required=True, metadata={"description": "Seconds the access token lives.", "example": 3600}
    )


class PasswordSchema(Schema):
    current_password = ma.fields.String(
        required=True, load_only=True, validate=validate.Length(min=1, max=MAX_PASSWORD)
    )
    new_password = _new_password()


class SessionSchema(Schema):
    id = ma.fields.UUID(required=True)
    product = ma.fields.String(required=True, metadata={"example": "manga"})
    kind = ma.fields.String(required=True, metadata={"example": "token"})
    address = ma.fields.String(required=True, allow_none=True)
    user_agent = ma.fields.String(required=True, allow_none=True)
    created_at = Moment(required=True)
    refreshed_at = Moment(required=True)
    current = ma.fields.Boolean(required=True)


class InitDataSchema(ProductSchema):
    init_data = ma.fields.String(
        required=True,
        validate=validate.Length(min=1, max=8192),
        metadata={"description": "`window.Telegram.WebApp.initData`, as it is."},
    )


class WidgetSchema(ma.Schema):
    """The fields of Telegram's Login Widget, as they come: all are signed over."""

    class Meta:
        unknown = ma.INCLUDE

    id = ma.fields.Raw(required=True)
    auth_date = ma.fields.Raw(required=True)
    hash = ma.fields.String(required=True, validate=validate.Length(max=64))

    @ma.post_load
    def as_text(self, data: dict[str, Any], **_: Any) -> dict[str, str]:
        """Numbers and texts alike, as they were signed."""
        if any(isinstance(value, dict | list | bool | float) for value in data.values()):
            raise ma.ValidationError("Texts and whole numbers only.", "id")
        return {name: str(value) for name, value in data.items()}


class LinkSchema(Schema):
    code = ma.fields.String(required=True, metadata={"example": "7H2K9QX4TB"})
    url = ma.fields.String(
        required=True,
        allow_none=True,
        metadata={
            "description": "Opens the bot with the code; null until the bot's name is known."
        },
    )
    expires_at = Moment(required=True)


def as_sessions(live: Sequence[Session], current: uuid.UUID) -> list[dict[str, Any]]:
    """Sessions with the one that asks marked."""
    shown = ("id", "product", "address", "user_agent", "created_at", "refreshed_at")
    return [
        {
            **{name: getattr(session, name) for name in shown},
            "kind": session.kind.value,
            "current": session.id == current,
        }
        for session in live
    ]
