"""The in-app inbox."""

from __future__ import annotations

from typing import Any

from flask_smorest.pagination import PaginationParameters

from manga_backend.kernel.notifications import queries, schemas
from manga_backend.kernel.notifications.permissions import (
    CLEAR_INBOX,
    READ_INBOX,
    REGISTER_DEVICE,
)
from manga_backend.kernel.notifications.service import inbox as inbox_service
from manga_backend.kernel.notifications.service import retention
from manga_backend.kernel.notifications.service.devices import register_device
from manga_backend.kit.db import MAX_ID
from manga_backend.kit.http import Blueprint, paged
from manga_backend.kit.idempotency import REFUSALS, idempotent
from manga_backend.kit.principal import principal, require

inbox = Blueprint(
    "notifications_inbox",
    __name__,
    url_prefix="/api/notifications",
    description="What the reader was told, also without Telegram.",
)


@inbox.route("/")
@require(READ_INBOX)
@inbox.response(200, schemas.InboxItemSchema(many=True))
@inbox.paginate()
def list_inbox(pagination_parameters: PaginationParameters) -> Any:
    """The caller's messages, newest first."""
    return paged(queries.inbox(principal().user_id), pagination_parameters)


@inbox.route("/unread-count/")
@require(READ_INBOX, widen=queries.with_unread)
@inbox.response(200, schemas.UnreadCountSchema)
def unread_count() -> Any:
    """How many of them are unread."""
    return principal().row


@inbox.route(f"/mark-read/<int(max={MAX_ID}):notification_id>/", methods=["POST"])
@require(READ_INBOX)
@inbox.response(200, schemas.MarkedSchema)
def mark_read(notification_id: int) -> Any:
    """Mark one message as read; one that is read, or another's, changes nothing."""
    return {"marked": inbox_service.mark_read(principal().user_id, notification_id)}


@inbox.route("/mark-all-read/", methods=["POST"])
@require(READ_INBOX)
@inbox.response(200, schemas.MarkedSchema)
def mark_all_read() -> Any:
    """Mark all messages as read."""
    return {"marked": inbox_service.mark_read(principal().user_id)}


@inbox.route("/delete-old/", methods=["POST"])
@require(CLEAR_INBOX)
@inbox.response(200, schemas.DeletedSchema)
def delete_old() -> Any:
    """Delete the caller's read messages that are older than NOTIFICATION_RETENTION_DAYS."""
    return {"deleted": retention.delete_old(principal().user_id)}


@inbox.route("/device-token/", methods=["POST"])
@require(REGISTER_DEVICE)
@idempotent
@inbox.refuses(*REFUSALS)
@inbox.arguments(schemas.NewDeviceSchema)
@inbox.alt_response(200, schema=schemas.DeviceSchema, description="It was known already.")
@inbox.response(201, schemas.DeviceSchema)
def add_device_token(body: dict[str, Any]) -> Any:
    """Register the caller's device for push messages; a token belongs to whoever sent it last.

    At most 20 are kept for one account, the ones registered last.
    """
    device = register_device(principal().user_id, body["token"], body["platform"])
    return device, 201 if device.is_new else 200
