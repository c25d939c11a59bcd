"""/health and /api/system."""

from __future__ import annotations

from typing import Any

from flask import Response, current_app, request

from manga_backend.kernel.operations import schemas
from manga_backend.kernel.operations.service import health as checked
from manga_backend.kernel.operations.service.metrics import read_metrics, require_scraper
from manga_backend.kit.http import Blueprint
from manga_backend.kit.live import live
from manga_backend.kit.metrics import CONTENT_TYPE
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


@unlimited
@public
def metrics() -> Response:
    """For Prometheus: not in the API's description, which is for front ends."""
    forwarded = "X-Forwarded-For" in request.headers or "Forwarded" in request.headers
    scheme, _, bearer = request.headers.get("Authorization", "").partition(" ")
    require_scraper(
        request.remote_addr, forwarded, bearer.strip() if scheme.lower() == "bearer" else ""
    )
    return Response(read_metrics(), content_type=CONTENT_TYPE)
