"""Webhooks in the panel, and running one again."""

from __future__ import annotations

from typing import Any

from flask import abort, redirect, url_for
from flask_admin import expose

from manga_backend.kernel.backoffice.admin import (
    ListView,
    act,
    actor,
    current_visitor,
    require_right,
)
from manga_backend.kernel.money.gateways.models import Webhook
from manga_backend.kernel.money.gateways.permissions import READ_WEBHOOKS, REPLAY_WEBHOOKS
from manga_backend.kernel.money.gateways.queries import find_webhook
from manga_backend.kernel.money.gateways.service import replay
from manga_backend.kit.db import MAX_ID
from manga_backend.kit.i18n import gettext


class WebhooksView(ListView):
    """What providers told us, and what came of it."""

    permission = READ_WEBHOOKS
    group = "system"
    column_list = (
        *("received_at", "source", "order_id", "event_id", "deliveries", "handled_at", "outcome"),
    )
    column_default_sort = ("id", True)
    column_searchable_list = ("order_id", "event_id")
    column_filters = ("source",)
    column_details_list = (*column_list, "attempts", "body")
    details_template = "backoffice/webhook.html"

    @property
    def column_labels(self) -> dict[str, str]:
        """Headings in the reader's language."""
        return {
            "received_at": gettext("Received"),
            "source": gettext("Source"),
            "order_id": gettext("Order"),
            "event_id": gettext("Event"),
            "deliveries": gettext("Deliveries"),
            "handled_at": gettext("Handled"),
            "outcome": gettext("Outcome"),
            "attempts": gettext("Attempts"),
            "body": gettext("Text"),
        }

    def render(self, template: str, **kwargs: Any) -> Any:
        if isinstance(kwargs.get("model"), Webhook):
            kwargs["may_replay"] = current_visitor().can(REPLAY_WEBHOOKS)
        return super().render(template, **kwargs)

    @expose(f"/replay/<int(max={MAX_ID}):webhook_id>", methods=("POST",))
    def replay(self, webhook_id: int) -> Any:
        require_right(REPLAY_WEBHOOKS)
        webhook = find_webhook(webhook_id)
        if webhook is None:
            abort(404)
        act(lambda: replay(webhook, actor()))
        return redirect(url_for(".details_view", id=webhook_id))
