"""Plugs the desk in."""

from __future__ import annotations

from manga_backend.kernel.approvals import admin, bot, permissions
from manga_backend.kernel.approvals.types import Decision
from manga_backend.kernel.backoffice.admin import add_view
from manga_backend.kernel.backoffice.service import cards
from manga_backend.kernel.telegram.service import presses
from manga_backend.kit.app import App
from manga_backend.kit.i18n import gettext_lazy
from manga_backend.kit.principal import grants


def init_app(app: App) -> None:
    """Called once by create_app()."""
    grants.register(app, permissions.READ_DESK, "support")
    grants.register(app, permissions.DECIDE, "admin")
    presses.register(app, Decision.APPROVE.value, bot.approve)
    presses.register(app, Decision.REJECT.value, bot.reject)
    cards.register(app, permissions.READ_DESK, admin.cards)
    view = admin.DeskView(gettext_lazy("Desk"), endpoint="panel_desk", url="/admin/desk")
    add_view(app, view)
