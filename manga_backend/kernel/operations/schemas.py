"""Health in JSON."""

from __future__ import annotations

from typing import Any

import marshmallow as ma

from manga_backend.kernel.operations.types import Check
from manga_backend.kit.http import Schema


class HealthSchema(Schema):
    status = ma.fields.String(required=True, metadata={"example": "healthy"})


class CheckSchema(Schema):
    ok = ma.fields.Boolean(required=True)
    detail = ma.fields.String(required=True)


class ReadinessSchema(Schema):
    status = ma.fields.String(
        required=True,
        validate=ma.validate.OneOf(["ready", "degraded", "not_ready"]),
        metadata={"description": "degraded: served, but a part is away."},
    )
    checks = ma.fields.Dict(
        keys=ma.fields.String(), values=ma.fields.Nested(CheckSchema), required=True
    )


class VersionSchema(Schema):
    name = ma.fields.String(required=True, metadata={"example": "manga_backend"})
    version = ma.fields.String(required=True, metadata={"example": "0.1.0"})


def as_readiness(found: dict[str, Check]) -> tuple[dict[str, Any], int]:
    """503 when something vital is missing; everything else is a red detail."""
    lost = any(check.vital and not check.ok for check in found.values())
    red = any(not check.ok for check in found.values())
    body = {
        "status": "not_ready" if lost else "degraded" if red else "ready",
        "checks": {name: {"ok": c.ok, "detail": c.detail} for name, c in found.items()},
    }
    return body, 503 if lost else 200
