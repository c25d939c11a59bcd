"""/api/user/*: the reader's status and the gate before the manga files."""

from __future__ import annotations

from typing import Any

from flask import Response, jsonify

from manga_backend.kernel.memberships.errors import SubscriptionRequired
from manga_backend.kit import clock
from manga_backend.kit.http import Blueprint
from manga_backend.kit.principal import principal, require, unlimited
from manga_backend.products.manga import queries, schemas, service
from manga_backend.products.manga.errors import FilesNotSigned, SubscriptionRequiredAtGate
from manga_backend.products.manga.permissions import READ_MANGA, READ_STATUS

user = Blueprint(
    "manga_user", __name__, url_prefix="/api/user", description="What a reader has paid for."
)


@user.route("/status")
@require(READ_STATUS, widen=queries.with_status)
@user.response(200, schemas.StatusSchema)
def read_status() -> Any:
    """Subscription, days remaining, purchases and waiting payments."""
    return jsonify(schemas.as_status(principal().row, clock.now()))


@user.route("/access")
@unlimited
@require(READ_MANGA, widen=queries.with_end)
@user.refuses(SubscriptionRequired, SubscriptionRequiredAtGate, FilesNotSigned)
@user.arguments(schemas.AccessQuerySchema, location="query")
@user.alt_response(
    200, schema=schemas.SignedFolderSchema, description="With `path`: an address for `<img>`."
)
@user.response(204)
def check_access(query: dict[str, Any]) -> Any:
    """204 while the subscription is active; asked by Nginx before each file."""
    ends_at, now = principal().row["expires_at"], clock.now()
    service.require_subscription(ends_at, now, at_gate=query.get("gate") == "nginx")
    if "path" not in query:
        return Response(status=204)
    url, expires_at = service.sign(query["path"], ends_at, now)
    return jsonify(schemas.SignedFolderSchema().dump({"url": url, "expires_at": expires_at}))
