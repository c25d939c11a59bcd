"""Plugs the gateways in."""

from __future__ import annotations

from manga_backend.kernel.backoffice.admin import add_view
from manga_backend.kernel.money.gateways import admin, permissions
from manga_backend.kernel.money.gateways.models import Webhook
from manga_backend.kit.app import App
from manga_backend.kit.i18n import gettext_lazy
from manga_backend.kit.principal import grants


def init_app(app: App) -> None:
    """Called once by create_app()."""
    grants.register(app, permissions.READ_WEBHOOKS, "support")
    grants.register(app, permissions.REPLAY_WEBHOOKS, "admin")
    add_view(app, admin.WebhooksView(Webhook, gettext_lazy("Webhooks"), "panel_webhooks"))
