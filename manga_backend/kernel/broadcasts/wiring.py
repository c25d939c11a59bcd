"""Plugs broadcasts in."""

from __future__ import annotations

from manga_backend.kernel.broadcasts import models as models
from manga_backend.kit.app import App


def init_app(app: App) -> None:
    """Called once by create_app()."""
