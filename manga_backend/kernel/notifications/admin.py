"""The outbox in the panel: what left, what waits, what was given up, and trying it anew."""

from __future__ import annotations

from typing import Any

from flask import redirect, url_for
from flask_admin import expose

from manga_backend.kernel.backoffice.admin import (
    ListView,
    act,
    actor,
    current_visitor,
    require_right,
)
from manga_backend.kernel.notifications.models import Notification
from manga_backend.kernel.notifications.permissions import READ_OUTBOX, RETRY
from manga_backend.kernel.notifications.service.outbox import GIVEN_UP, retry
from manga_backend.kit.db import MAX_ID
from manga_backend.kit.i18n import gettext


class NotificationsView(ListView):
    """Every message; a given-up one can be tried anew."""

    permission = READ_OUTBOX
    group = "messages"
    user_columns = ("created_at", "kind", "channel", "status", "sent_at")
    column_list = (
        *("created_at", "kind", "channel", "status", "user_id", "chat_id", "attempts", "sent_at"),
    )
    column_default_sort = ("id", True)
    column_sortable_list = ("created_at", "sent_at")
    column_searchable_list = ("subject", "kind", "chat_id")
    column_filters = ("status", "channel", "kind", "user_id")
    column_details_list = (
        *("id", "created_at", "kind", "subject", "channel", "status", "user_id", "chat_id"),
        *("language", "priority", "attempts", "due_at", "sent_at", "read_at"),
        *("telegram_message_id", "last_error", "text"),
    )
    details_template = "backoffice/notification.html"

    @property
    def column_labels(self) -> dict[str, str]:
        """Headings in the reader's language."""
        return {
            "id": gettext("Number"),
            "created_at": gettext("Written"),
            "kind": gettext("Kind"),
            "subject": gettext("About"),
            "channel": gettext("Channel"),
            "status": gettext("Status"),
            "user_id": gettext("User"),
            "chat_id": gettext("Chat"),
            "language": gettext("Language"),
            "priority": gettext("Lane"),
            "attempts": gettext("Attempts"),
            "due_at": gettext("Next attempt"),
            "sent_at": gettext("Sent"),
            "read_at": gettext("Read"),
            "telegram_message_id": gettext("Telegram message"),
            "last_error": gettext("What Telegram said"),
            "text": gettext("Text"),
        }

    def render(self, template: str, **kwargs: Any) -> Any:
        model = kwargs.get("model")
        if isinstance(model, Notification):
            given_up = model.status in GIVEN_UP
            kwargs["may_retry"] = given_up and current_visitor().can(RETRY)
        return super().render(template, **kwargs)

    @expose(f"/retry/<int(max={MAX_ID}):notification_id>", methods=("POST",))
    def retry(self, notification_id: int) -> Any:
        require_right(RETRY)
        act(lambda: retry(notification_id, actor()))
        return redirect(url_for(".details_view", id=notification_id))
