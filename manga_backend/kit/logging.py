"""Log lines: JSON outside development, each with its request id, secrets masked."""

from __future__ import annotations

import logging
import logging.config
import re
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from urllib.parse import unquote, urlsplit

from flask import has_request_context, request
from pythonjsonlogger.json import JsonFormatter

MASK = "•••"
_TOKEN_IN_URL = re.compile(r"/bot\d+:[^/\s]+")
_PASSWORD_IN_URL = re.compile(r"(\w+://[^:/\s]*):[^/\s]+@")
_PASSWORD_IN_DSN = re.compile(r"(?i)\b(password\s*=\s*)('[^']*'|[^\s&'\"]+)")


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
        text = _PASSWORD_IN_URL.sub(rf"\1:{MASK}@", text)
        return _PASSWORD_IN_DSN.sub(rf"\1{MASK}", text)


def passwords_in(*urls: str) -> list[str]:
    """The passwords of addresses, as they are written there and as they are meant."""
    written = []
    for url in urls:
        user, _, _ = urlsplit(url).netloc.rpartition("@")
        written.append(user.partition(":")[2])
    return [*written, *map(unquote, written)]


masker = Masker()


_request_id: ContextVar[str] = ContextVar("request_id", default="")


@contextmanager
def working_on(request_id: str) -> Iterator[None]:
    """What is logged meanwhile belongs to this request, job or update; an id of before stays."""
    token = _request_id.set(current_request_id() or request_id)
    try:
        yield
    finally:
        _request_id.reset(token)


def current_request_id() -> str:
    """Of the request, job or update at hand; empty outside of any."""
    found = _request_id.get()
    if not found and has_request_context():
        found = str(request.environ.get("manga.request_id", ""))
    return found


class _RequestId(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        record.request_id = current_request_id() or "-"
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
    """Tells that something is away when that begins, and that it is back; not on every attempt.

    With `alarm` the admins are told as well (kit/alarms.py); both texts are then message ids (N_).
    """

    def __init__(
        self, logger: logging.Logger, away: str, back: str, *, alarm: bool = False
    ) -> None:
        self._log, self._away, self._back = logger, away, back
        self._alarm = alarm
        self._turning = threading.Lock()
        self.lasts = False

    def begins(self, reason: object) -> None:
        """Failed: the first time is an error line."""
        if self._turns(True):
            self._log.error("%s: %s", self._away, reason, extra=self._mark())

    def ends(self) -> bool:
        """Worked: the first time after a failure is an info line (a warning where the admins are
        told, so that it is not left out). Whether it was that time."""
        if not self._turns(False):
            return False
        level = logging.WARNING if self._alarm else logging.INFO
        self._log.log(level, "%s", self._back, extra=self._mark(over=self._back))
        return True

    def _turns(self, lasts: bool) -> bool:
        """Whether this changes it: of several threads that notice at once, for one alone."""
        with self._turning:
            changes = self.lasts is not lasts
            self.lasts = lasts
        return changes

    def _mark(self, over: str = "") -> dict[str, str] | None:
        return {"alarm": self._away, "alarm_over": over} if self._alarm else None
