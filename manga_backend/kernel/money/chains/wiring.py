"""Plugs our addresses in."""

from __future__ import annotations

from manga_backend.kernel.backoffice.admin import add_view
from manga_backend.kernel.money.chains import admin, permissions
from manga_backend.kernel.operations.service.changes import changeable
from manga_backend.kit.app import App
from manga_backend.kit.i18n import N_, gettext_lazy
from manga_backend.kit.principal import grants


def init_app(app: App) -> None:
    """Called once by create_app()."""
    changeable.register(
        app, "HASH_MAX_AGE", N_("Seconds that a transaction may be old when its hash is sent")
    )
    grants.register(app, permissions.READ_ADDRESSES, "admin")
    grants.register(app, permissions.CHANGE_ADDRESSES, "superuser")
    name = gettext_lazy("Addresses")
    add_view(app, admin.AddressesView(name, endpoint="panel_addresses", url="/admin/addresses"))
