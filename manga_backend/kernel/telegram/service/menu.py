"""Which commands whom is offered: the list of /help, and the menus that Telegram shows."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from manga_backend.kernel.telegram.service.updates import commands, language_of, staff
from manga_backend.kernel.telegram.settings import TelegramSettings
from manga_backend.kernel.telegram.types import BotCommand, Menu
from manga_backend.kit.i18n import gettext, in_language
from manga_backend.kit.settings import LANGUAGES, settings

EVERYBODY: dict[str, Any] = {"type": "all_private_chats"}


def commands_for(telegram_id: int) -> list[tuple[str, BotCommand]]:
    """The commands that this person may use: everybody's, then staff's; asks each right once."""
    found = commands.items()
    asked = dict.fromkeys(command.permission for _, command in found if command.permission)
    held = {right for right in asked if staff["rights"](telegram_id, right) is not None}
    everybodys = [(name, c) for name, c in found if c.permission is None]
    return everybodys + [(name, c) for name, c in found if c.permission in held]


def build_menus() -> list[Menu]:
    """For everybody in each language, for all other languages, and for the chat of each admin."""
    common = [(name, c) for name, c in commands.items() if c.permission is None]
    menus = [_menu(EVERYBODY, None, None, common)]
    menus += [_menu(EVERYBODY, code, code, common) for code in LANGUAGES]
    profile = language_of.find("profile")
    for admin in settings(TelegramSettings).admin_ids:
        own = profile(admin) if profile else None
        scope = {"type": "chat", "chat_id": admin}
        menus.append(_menu(scope, None, own, commands_for(admin)))
    return menus


def _menu(
    scope: dict[str, Any],
    language_code: str | None,
    language: str | None,
    offered: list[tuple[str, BotCommand]],
) -> Menu:
    with in_language(language):
        lines = [{"command": name, "description": gettext(c.description)} for name, c in offered]
    return Menu(scope, language_code, lines)


def digest_of(menus: list[Menu]) -> str:
    """Equal for menus that need not be sent again."""
    text = json.dumps([menu.as_json() for menu in menus], sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()
