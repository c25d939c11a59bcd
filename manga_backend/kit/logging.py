"""Log lines: JSON outside development, each with its request id, secrets masked."""

from __future__ import annotations

import logging
import logging.config
import re
from collections.abc import Iterable

from flask import has_request_context, request
from pythonjsonlogger.json import JsonFormatter

MASK = "•••"
_TOKEN_IN_URL = re.compile(r"/bot\d+:[^/\s]+")
_PASSWORD_IN_URL = re.compile(r"(\w+://[^:/\s]*):[^@/\s]+@")


class Masker:
    """Replaces configured secrets, bot tokens in URLs and passwords in DSNs."""

    def __init__(self) -> None:
        self._secrets: tuple[str, ...] = ()

    def learn(self, secrets: Iterable[str]) -> None:
        """Values that must never be written; short ones would mask ordinary words."""
        self._secrets = tuple({s for s in secrets if len(s) >= 8} | set(self._secrets))

    def mask(self, text: str) -> str:
        """`text` without any secret."""
        for secret in self._secrets:
            text = text.replace(secret, MASK)
        text = _TOKEN_IN_URL.sub(f"/bot{MASK}", text)
        return _PASSWORD_IN_URL.sub(rf"\1:{MASK}@", text)


masker = Masker()


class _RequestId(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        record.request_id = (
            request.environ.get("manga.request_id", "-") if has_request_context() else "-"
        )
        return True


class MaskedJson(JsonFormatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        return masker.mask(super().format(record))


class MaskedText(logging.Formatter):
    """A line for people."""

    def format(self, record: logging.LogRecord) -> str:
        return masker.mask(super().format(record))


def configure(level: str, *, as_json: bool, secrets: Iterable[str]) -> None:
    """Set up the root logger of this process; may run again with other secrets."""
    masker.learn(secrets)
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "filters": {"request_id": {"()": _RequestId}},
            "formatters": {
                "json": {
                    "()": MaskedJson,
                    "fmt": "%(asctime)s %(levelname)s %(name)s %(message)s"
                    " %(request_id)s %(process)d",
                    "rename_fields": {"asctime": "time", "levelname": "level", "name": "logger"},
                    "json_ensure_ascii": False,
                },
                "text": {
                    "()": MaskedText,
                    "format": "%(asctime)s %(levelname)-7s %(name)s [%(request_id)s] %(message)s",
                },
            },
            "handlers": {
                "stderr": {
                    "class": "logging.StreamHandler",
                    "formatter": "json" if as_json else "text",
                    "filters": ["request_id"],
                }
            },
            "root": {"level": level.upper(), "handlers": ["stderr"]},
            "loggers": {
                "alembic": {"level": "WARNING"},
                "rq": {"level": "WARNING"},
                "TeleBot": {"level": "CRITICAL", "handlers": [], "propagate": False},
                "flask-limiter": {"level": "ERROR"},  # kit/ratelimit.py tells of a store away
                "urllib3": {"level": "ERROR"},
            },
        }
    )


class Outage:
    """Tells that something is away when that begins, and that it is back; not on every attempt."""

    def __init__(self, logger: logging.Logger, away: str, back: str) -> None:
        self._log, self._away, self._back = logger, away, back
        self._lasts = False

    def begins(self, reason: object) -> None:
        """Failed: the first time is an error line."""
        if not self._lasts:
            self._lasts = True
            self._log.error("%s: %s", self._away, reason)

    def ends(self) -> None:
        """Worked: the first time after a failure is an info line."""
        if self._lasts:
            self._lasts = False
            self._log.info("%s", self._back)
