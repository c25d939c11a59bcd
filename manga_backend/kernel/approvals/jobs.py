"""What runs beside requests: telling the admins of faults, reminding them of questions."""

from __future__ import annotations

import logging

from sqlalchemy.exc import SQLAlchemyError

from manga_backend.kernel.approvals.service.asking import admin_chats, remind_admins
from manga_backend.kernel.notifications.service.outbox import notify_chat
from manga_backend.kernel.telegram.clients import BotClient
from manga_backend.kernel.telegram.errors import (
    RecipientUnreachable,
    TelegramBusy,
    TelegramError,
    TelegramRefused,
)
from manga_backend.kernel.telegram.settings import TelegramSettings
from manga_backend.kernel.telegram.types import Message
from manga_backend.kit.alarms import Alarm, closing
from manga_backend.kit.db import reading, transaction
from manga_backend.kit.i18n import render
from manga_backend.kit.registry import extensions
from manga_backend.kit.settings import CoreSettings, settings

log = logging.getLogger(__name__)

ALARM = "messages/alarm.html"
ALARM_KIND = "alarm"
PAUSES_SECONDS = (0, 5, 15, 40, 60)
"""Before each try: two minutes in all."""

_KNOWN = "approvals.alarm_chats"

REMINDED_AT_ONCE = 20


def tell_admins(alarm: Alarm) -> None:
    """Tell every admin of a fault; RuntimeError when some could not be told within two minutes.

    Straight through the Bot API, so that it arrives when the database is away or delivery itself
    is what broke; what Telegram does not take now goes into the outbox, which waits for it. Only
    when that fails too it is tried again here. No one is told twice.
    """
    if not settings(TelegramSettings).enabled:
        return
    told: set[int] = set()
    waits = 0
    for pause_seconds in PAUSES_SECONDS:
        if pause_seconds and closing.wait(max(pause_seconds, waits)):
            break
        left = {
            chat_id: (language, Message(render(ALARM, language, alarm=alarm)))
            for chat_id, language in _alarm_chats().items()
            if chat_id not in told
        }
        waits = _send(left, told)
        if left.keys() <= told or _queued(left, told):
            return
    raise RuntimeError("neither Telegram nor the outbox took it")


def _alarm_chats() -> dict[int, str]:
    """The admins; those known last, or of the settings, while the database is away."""
    try:
        with reading(), transaction():
            chats = admin_chats()
    except SQLAlchemyError:
        listed = settings(TelegramSettings).admin_ids
        default = settings(CoreSettings).default_language
        return {**dict.fromkeys(listed, default), **extensions().get(_KNOWN, {})}
    extensions()[_KNOWN] = chats
    return chats


def _send(left: dict[int, tuple[str, Message]], told: set[int]) -> int:
    """To each chat until Telegram takes no more; the seconds that it asks to wait."""
    client = BotClient(settings(TelegramSettings))
    for chat_id, (_language, message) in left.items():
        try:
            client.send_message(chat_id, message.text, None)
        except (RecipientUnreachable, TelegramRefused) as error:
            log.warning("admin %s can't be told of a fault: %s", chat_id, error.description)
        except TelegramBusy as error:
            return error.retry_after or 1
        except TelegramError as error:
            log.warning("Telegram does not take an alarm: %s", error.description)
            return 0
        told.add(chat_id)
    return 0


def _queued(left: dict[int, tuple[str, Message]], told: set[int]) -> bool:
    """Leave the rest to the outbox; False when the database does not take it."""
    try:
        with transaction():
            for chat_id, (language, message) in left.items():
                if chat_id not in told:
                    notify_chat(chat_id, message, kind=ALARM_KIND, language=language)
    except SQLAlchemyError as error:
        log.warning("the outbox does not take an alarm: %s", type(error).__name__)
        return False
    return True


def remind() -> None:
    """Ask again what waits too long; one transaction for each batch."""
    taken = REMINDED_AT_ONCE
    while taken == REMINDED_AT_ONCE:
        with transaction():
            taken = remind_admins(REMINDED_AT_ONCE)
