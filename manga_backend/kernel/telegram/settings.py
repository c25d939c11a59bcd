"""Settings of the bot."""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from manga_backend.kit.settings import CoreSettings, Env

OFFICIAL_API = "https://api.telegram.org"
WEBHOOK_PATH = "/telegram/webhook"
PROXY_SCHEMES = ("http", "https", "socks5", "socks5h")


@dataclass(frozen=True)
class TelegramSettings:
    """`mode` is off whenever no token is set."""

    mode: str
    token: str
    api_url: str
    admin_ids: tuple[int, ...]
    log_channel_id: int | None
    webhook_url: str
    """The whole address; empty: someone else sets the webhook."""
    webhook_secret: str
    webhook_connections: int
    """How many updates Telegram may bring at once: as many as this server has hands."""
    proxy: str
    """An address of PROXY_SCHEMES; it may hold a password."""
    authorities: str = ""
    """A file of certificates to trust in place of the public ones, for a Bot API server of one's
    own; empty: the public ones."""

    @property
    def enabled(self) -> bool:
        """Whether messages are sent and updates are read at all."""
        return self.mode != "off"


def load(env: Env, core: CoreSettings) -> TelegramSettings:
    """TELEGRAM_* names of kernel.md §9."""
    token = env.str("TELEGRAM_BOT_TOKEN", "") or ""
    if token and not re.fullmatch(r"\d+:\S+", token):
        env.complain("TELEGRAM_BOT_TOKEN", "must be <digits>:<text>")
    api_url = (env.str("TELEGRAM_API_URL", "") or OFFICIAL_API).rstrip("/")
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
    mode = env.choice("TELEGRAM_MODE", ("polling", "webhook", "off"), "polling")
    return TelegramSettings(
        mode=mode if token else "off",
        token=token,
        api_url=api_url,
        admin_ids=tuple(dict.fromkeys(ids)),
        log_channel_id=int(channel) if channel else None,
        webhook_url=_webhook_url(env, core),
        webhook_secret=_webhook_secret(env, core),
        webhook_connections=min(core.workers * core.threads, 100),
        proxy=_proxy(env),
        authorities=_authorities(env),
    )


def _webhook_url(env: Env, core: CoreSettings) -> str:
    base = (env.str("TELEGRAM_WEBHOOK_URL", "") or "").rstrip("/")
    if not base:
        return ""
    plain = core.app_env != "production" and base.startswith("http://")
    if not re.fullmatch(r"https?://[^\s/?#]+[^\s?#]*", base) or not (
        base.startswith("https://") or plain
    ):
        words = "must be this backend's public address, such as https://api.manga.example"
        env.complain("TELEGRAM_WEBHOOK_URL", words)
    return base if base.endswith(WEBHOOK_PATH) else base + WEBHOOK_PATH


def _webhook_secret(env: Env, core: CoreSettings) -> str:
    given = env.str("TELEGRAM_WEBHOOK_SECRET", "") or ""
    if not given:
        label = b"manga_backend telegram webhook"
        return hmac.new(core.secret_key.encode(), label, hashlib.sha256).hexdigest()
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,256}", given):
        words = "must have 1 to 256 characters of A-Z, a-z, 0-9, _ and -"  # Bot API, setWebhook
        env.complain("TELEGRAM_WEBHOOK_SECRET", words)
    return given


def _authorities(env: Env) -> str:
    given = env.str("TELEGRAM_CA_FILE", "") or ""
    if given and not Path(given).is_file():
        env.complain("TELEGRAM_CA_FILE", f"there is no file {given}")
    return given


def _proxy(env: Env) -> str:
    given = (env.str("TELEGRAM_PROXY", "") or "").rstrip("/")
    if not given:
        return ""
    try:
        parts = urlsplit(given)
        usable = parts.scheme in PROXY_SCHEMES and bool(parts.hostname and parts.port)
        usable = usable and not (parts.path or parts.query or parts.fragment)
    except ValueError:  # a port that is no number
        usable = False
    if not usable:
        words = "must be like http://host:port or socks5://user:password@host:port"
        env.complain("TELEGRAM_PROXY", words)
    # Names are looked up by the proxy: where Telegram is filtered its names often are as well.
    return re.sub(r"^socks5://", "socks5h://", given)
