"""Settings of the bot."""

from __future__ import annotations

import re
from dataclasses import dataclass

from manga_backend.kit.settings import CoreSettings, Env


@dataclass(frozen=True)
class TelegramSettings:
    """`mode` is off whenever no token is set."""

    mode: str
    token: str
    api_url: str
    admin_ids: tuple[int, ...]
    log_channel_id: int | None

    @property
    def enabled(self) -> bool:
        """Whether messages are sent and updates are read at all."""
        return self.mode != "off"


def load(env: Env, core: CoreSettings) -> TelegramSettings:
    """TELEGRAM_* names of kernel.md §9."""
    token = env.str("TELEGRAM_BOT_TOKEN", "") or ""
    if token and not re.fullmatch(r"\d+:\S+", token):
        env.complain("TELEGRAM_BOT_TOKEN", "must be <digits>:<text>")
    api_url = (env.str("TELEGRAM_API_URL", "") or "https://api.telegram.org").rstrip("/")
    if not re.fullmatch(r"https?://\S+", api_url):
        env.complain("TELEGRAM_API_URL", "must be the part before /bot<token>/<method>")
    ids: list[int] = []
    for text in env.names("TELEGRAM_ADMIN_IDS"):
        if re.fullmatch(r"\d{1,16}", text):
            ids.append(int(text))
        else:
            env.complain("TELEGRAM_ADMIN_IDS", f"{text!r} is not a Telegram user id")
    channel = env.str("TELEGRAM_LOG_CHANNEL_ID", "") or ""
    if channel and not re.fullmatch(r"-?\d{1,16}", channel):
        env.complain("TELEGRAM_LOG_CHANNEL_ID", f"{channel!r} is not a chat id")
        channel = ""
    mode = env.choice("TELEGRAM_MODE", ("polling", "off"), "polling")
    return TelegramSettings(
        mode=mode if token else "off",
        token=token,
        api_url=api_url,
        admin_ids=tuple(dict.fromkeys(ids)),
        log_channel_id=int(channel) if channel else None,
    )
