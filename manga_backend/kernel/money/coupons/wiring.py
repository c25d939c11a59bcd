"""Plugs coupons in."""

from __future__ import annotations

from manga_backend.kernel.backoffice.admin import add_view
from manga_backend.kernel.money.coupons import admin, permissions
from manga_backend.kernel.money.coupons.models import Coupon
from manga_backend.kit.app import App
from manga_backend.kit.i18n import gettext_lazy
from manga_backend.kit.principal import grants


def init_app(app: App) -> None:
    """Called once by create_app()."""
    grants.register(app, permissions.READ_COUPONS, "admin")
    grants.register(app, permissions.ISSUE_COUPONS, "admin")
    add_view(app, admin.CouponsView(Coupon, gettext_lazy("Coupons"), "panel_coupons"))
