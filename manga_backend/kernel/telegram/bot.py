"""/system."""

from __future__ import annotations

from manga_backend.kernel.operations.service import readiness
from manga_backend.kernel.telegram.types import Command, Message
from manga_backend.kit.i18n import language, render


def system(_command: Command) -> Message:
    """The readiness checks of the process that reads updates."""
    return Message(render("messages/system.html", language(), checks=readiness()))
