"""Settings of the outbox: how fast Telegram may be written to, how long inboxes keep."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from manga_backend.kit.settings import CoreSettings, Env


@dataclass(frozen=True)
class NotificationSettings:
    """The limits of core.telegram.org/bots/faq, unless Telegram granted a bot more."""

    per_second: int
    per_chat_per_second: int
    per_group_per_minute: int
    retention: timedelta


def load(env: Env, core: CoreSettings) -> NotificationSettings:
    """TELEGRAM_MAX_* and NOTIFICATION_RETENTION_DAYS."""
    return NotificationSettings(
        per_second=env.number("TELEGRAM_MAX_PER_SECOND", 30, least=1),
        per_chat_per_second=env.number("TELEGRAM_MAX_PER_CHAT_PER_SECOND", 1, least=1),
        per_group_per_minute=env.number("TELEGRAM_MAX_PER_GROUP_PER_MINUTE", 20, least=1),
        retention=timedelta(days=env.number("NOTIFICATION_RETENTION_DAYS", 90, least=1)),
    )
