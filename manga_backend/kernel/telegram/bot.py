"""/system."""

from __future__ import annotations

from manga_backend.kernel.operations.service.health import readiness
from manga_backend.kernel.telegram.types import Command, Message
from manga_backend.kit.i18n import N_, gettext, language, render

CHECK_NAMES = {
    "database": N_("Database"),
    "migrations": N_("Migrations"),
    "redis": N_("Redis"),
    "telegram": N_("Telegram"),
}
"""A check that a product adds goes by its own name."""


def system(_command: Command) -> Message:
    """The readiness checks of the process that reads updates."""
    names = {name: gettext(words) for name, words in CHECK_NAMES.items()}
    shown = render("messages/system.html", language(), checks=readiness(), names=names)
    return Message(shown)
