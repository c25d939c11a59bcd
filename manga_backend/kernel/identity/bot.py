"""/start and /help."""

from __future__ import annotations

from manga_backend.kernel.identity.errors import LinkCodeInvalid, TelegramIdTaken
from manga_backend.kernel.identity.service.telegram import verify_telegram_id
from manga_backend.kernel.telegram.types import Button, Command, Message
from manga_backend.kit.i18n import gettext, language, render
from manga_backend.kit.settings import CoreSettings, settings


def start(command: Command) -> Message:
    """`/start CODE` verifies; a bare /start greets."""
    if not command.argument:
        return _page("messages/start.html")
    try:
        user = verify_telegram_id(command.argument, command.sender.id)
    except (LinkCodeInvalid, TelegramIdTaken) as refusal:
        return Message(refusal.message())
    return _page("messages/linked.html", username=user.label)


def help_(_command: Command) -> Message:
    """Also the answer to commands that don't exist."""
    return _page("messages/help.html")


def _page(template: str, **context: object) -> Message:
    url = settings(CoreSettings).web_app_url
    buttons = [[Button(gettext("Open the site"), url=url)]] if url else []
    return Message(render(template, language(), **context), buttons)
