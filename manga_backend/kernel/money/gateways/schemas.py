"""Webhooks in JSON."""

from __future__ import annotations

import marshmallow as ma

from manga_backend.kit.http import Schema


class TakenSchema(Schema):
    taken = ma.fields.Boolean(required=True)
