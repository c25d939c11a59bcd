"""Plugs Two Manga in."""

from __future__ import annotations

from manga_backend.kernel.identity.service.sessions import doors
from manga_backend.kernel.identity.types import Door
from manga_backend.kernel.operations.service.changes import changeable
from manga_backend.kit.app import App
from manga_backend.kit.i18n import N_
from manga_backend.kit.principal import grants
from manga_backend.kit.settings import settings
from manga_backend.products.manga import permissions, routes
from manga_backend.products.manga.queries import PRODUCT
from manga_backend.products.manga.settings import MangaSettings


def init_app(app: App) -> None:
    """Called by create_app() when PRODUCTS names manga."""
    changeable.register(app, "MAX_SESSIONS", N_("Sessions of one reader at a time"))
    grants.register(app, permissions.READ_STATUS, "user")
    grants.register(app, permissions.READ_MANGA, "user")
    doors.register(app, PRODUCT, Door(lambda: settings(MangaSettings).max_sessions))
    app.api.register_blueprint(routes.user)
