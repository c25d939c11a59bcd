"""/admin/system/broadcasts"""

from __future__ import annotations

import uuid
from typing import Any

from flask_smorest.pagination import PaginationParameters

from manga_backend.kernel.backoffice.types import Actor, Channel
from manga_backend.kernel.broadcasts import errors, queries, schemas
from manga_backend.kernel.broadcasts.permissions import READ_BROADCASTS, SEND_BROADCASTS
from manga_backend.kernel.broadcasts.service import drafts, sending
from manga_backend.kernel.broadcasts.types import Draft
from manga_backend.kernel.identity.queries import get_user
from manga_backend.kit.http import Blueprint, paged
from manga_backend.kit.idempotency import REFUSALS, idempotent
from manga_backend.kit.principal import principal, require
from manga_backend.kit.ratelimit import client_address

system = Blueprint(
    "broadcasts_system",
    __name__,
    url_prefix="/admin/system/broadcasts",
    description="One message to many users, for admins.",
)


def _actor() -> Actor:
    user = get_user(principal().user_id)
    return Actor(f"user:{user.id}", user.label, Channel.API, user.id, client_address())


@system.route("")
@require(READ_BROADCASTS)
@system.response(200, schemas.ListedBroadcastSchema(many=True))
@system.paginate()
def list_broadcasts(pagination_parameters: PaginationParameters) -> Any:
    """All broadcasts, newest first; their counts are at each one's own address."""
    return paged(queries.newest_first(), pagination_parameters)


@system.route("", methods=["POST"])
@require(SEND_BROADCASTS)
@idempotent
@system.refuses(*REFUSALS)
@system.arguments(schemas.NewBroadcastSchema)
@system.response(201, schemas.ReportSchema)
def create_broadcast(draft: Draft) -> Any:
    """Write a draft; nothing is sent before it is started."""
    return queries.report(drafts.create_broadcast(draft, _actor()))


@system.route("/<uuid:broadcast_id>")
@require(READ_BROADCASTS)
@system.refuses(errors.BroadcastNotFound)
@system.response(200, schemas.ReportSchema)
def get_broadcast(broadcast_id: uuid.UUID) -> Any:
    """One broadcast and how it fares."""
    return queries.report(queries.get_broadcast(broadcast_id))


@system.route("/<uuid:broadcast_id>", methods=["PATCH"])
@require(SEND_BROADCASTS)
@system.refuses(errors.BroadcastNotFound, errors.StepNotAllowed)
@system.arguments(schemas.ChangesSchema, required=False)
@system.response(200, schemas.ReportSchema)
def edit_broadcast(changes: dict[str, Any], broadcast_id: uuid.UUID) -> Any:
    """Change a draft; `texts` replaces all texts."""
    return queries.report(drafts.edit_broadcast(broadcast_id, changes, _actor()))


@system.route("/<uuid:broadcast_id>/preview")
@require(READ_BROADCASTS)
@system.refuses(errors.BroadcastNotFound)
@system.response(200, schemas.PreviewSchema)
def preview_broadcast(broadcast_id: uuid.UUID) -> Any:
    """How many would get it now, and what the readers of each language would read."""
    return queries.preview(queries.get_broadcast(broadcast_id))


@system.route("/<uuid:broadcast_id>/test", methods=["POST"])
@require(SEND_BROADCASTS)
@system.refuses(errors.BroadcastNotFound, errors.NoTelegramChat, errors.BotIsOff)
@system.response(202, schemas.TestedSchema)
def test_broadcast(broadcast_id: uuid.UUID) -> Any:
    """Each of its texts to the caller's own Telegram chat."""
    return {"queued": drafts.send_test(broadcast_id, _actor())}


@system.route("/<uuid:broadcast_id>/start", methods=["POST"])
@require(SEND_BROADCASTS)
@system.refuses(errors.BroadcastNotFound, errors.StepNotAllowed)
@system.response(200, schemas.ReportSchema)
def start_broadcast(broadcast_id: uuid.UUID) -> Any:
    """Begin to send a draft; it starts once, whoever asks."""
    return queries.report(sending.start(broadcast_id, _actor()))


@system.route("/<uuid:broadcast_id>/pause", methods=["POST"])
@require(SEND_BROADCASTS)
@system.refuses(errors.BroadcastNotFound, errors.StepNotAllowed)
@system.response(200, schemas.ReportSchema)
def pause_broadcast(broadcast_id: uuid.UUID) -> Any:
    """Hold what has not left."""
    return queries.report(sending.pause(broadcast_id, _actor()))


@system.route("/<uuid:broadcast_id>/resume", methods=["POST"])
@require(SEND_BROADCASTS)
@system.refuses(errors.BroadcastNotFound, errors.StepNotAllowed)
@system.response(200, schemas.ReportSchema)
def resume_broadcast(broadcast_id: uuid.UUID) -> Any:
    """Go on where it was paused."""
    return queries.report(sending.resume(broadcast_id, _actor()))


@system.route("/<uuid:broadcast_id>/cancel", methods=["POST"])
@require(SEND_BROADCASTS)
@system.refuses(errors.BroadcastNotFound, errors.StepNotAllowed)
@system.response(200, schemas.ReportSchema)
def cancel_broadcast(broadcast_id: uuid.UUID) -> Any:
    """End it for good; what has not left never will."""
    return queries.report(sending.cancel(broadcast_id, _actor()))
