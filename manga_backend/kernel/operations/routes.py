"""/health and /api/system."""

from __future__ import annotations

from typing import Any

from flask import current_app

from manga_backend.kernel.operations import schemas
from manga_backend.kernel.operations.service import health as checked
from manga_backend.kit.http import Blueprint
from manga_backend.kit.live import live
from manga_backend.kit.principal import public, unlimited

health = Blueprint("operations_health", __name__, description="For load balancers and people.")


@health.route("/health")
@unlimited
@public
@health.response(200, schemas.HealthSchema)
def is_healthy() -> Any:
    """The process answers."""
    return {"status": "healthy"}


@health.route("/health/live")
@live
@unlimited
@public
@health.response(200, schemas.HealthSchema)
def is_live() -> Any:
    """The process answers."""
    return {"status": "healthy"}


@health.route("/health/ready")
@unlimited
@public
@health.alt_response(503, schema=schemas.ReadinessSchema, description="Something vital is away.")
@health.response(200, schemas.ReadinessSchema)
def is_ready() -> Any:
    """Database, migrations, Redis and Telegram, each with what is wrong."""
    return schemas.as_readiness(checked.readiness())


@health.route("/api/system/health")
@unlimited
@public
@health.alt_response(503, schema=schemas.ReadinessSchema, description="Something vital is away.")
@health.response(200, schemas.ReadinessSchema)
def system_health() -> Any:
    """As /health/ready."""
    return schemas.as_readiness(checked.readiness())


@health.route("/api/system/version")
@unlimited
@public
@health.response(200, schemas.VersionSchema)
def version() -> Any:
    """What is deployed."""
    return {"name": "manga_backend", "version": current_app.config["API_VERSION"]}
