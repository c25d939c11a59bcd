"""Rate limits: Flask-Limiter for the few guarded routes, its `limits` library for all the rest.

One store for all workers when Redis is set; otherwise each worker counts its share in memory. A
store that is away never blocks a request: memory takes over and the log says so once a minute.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any

from flask import Flask, Response, current_app, request
from flask_limiter import Limiter, RateLimitExceeded
from limits import RateLimitItem, parse_many
from limits.storage import MemoryStorage, RedisStorage
from limits.strategies import FixedWindowRateLimiter
from werkzeug.exceptions import HTTPException

from manga_backend.kit.i18n import N_
from manga_backend.kit.principal import UNLIMITED
from manga_backend.kit.problems import DomainError, from_domain_error
from manga_backend.kit.settings import CoreSettings, settings

log = logging.getLogger(__name__)

ANONYMOUS_LIMIT = "60 per minute"
REDIS_PATIENCE_SECONDS = 0.3
RETRY_STORE_SECONDS = 10
COMPLAIN_SECONDS = 60

CallerKey = Callable[[], str | None]


class TooManyRequests(DomainError):
    """The caller must wait; `Retry-After` says how long."""

    status = 429
    code = "too_many_requests"
    detail = N_("Too many requests. Wait a little.")

    def __init__(self, retry_after_seconds: int) -> None:
        super().__init__()
        self.headers = {"Retry-After": str(max(1, retry_after_seconds))}  # type: ignore[misc]


def client_address() -> str:
    """The caller's address as the trusted proxies tell it."""
    return request.remote_addr or "unknown"


def body_field(name: str) -> Any:
    """A field of the JSON body, or None; for keys of limits, which must not raise."""
    try:
        body = request.get_json(silent=True)
    except HTTPException:  # too large: the view says so
        return None
    return body.get(name) if isinstance(body, dict) else None


def shared(limit: str) -> Callable[[], str]:
    """A limit for the whole deployment; without Redis each worker keeps its part of it."""

    def per_store() -> str:
        core = settings(CoreSettings)
        return limit if core.redis_url else ";".join(_share(limit, core.workers))

    return per_store


def _share(limit: str, workers: int) -> list[str]:
    return [
        f"{max(1, item.amount // workers)} per {item.multiples} {item.GRANULARITY.name}"
        for item in parse_many(limit)
    ]


def _refuse(_error: RateLimitExceeded) -> Response:
    """An error handler, no `on_breach`: what that raises Flask-Limiter takes for a dead store."""
    breached = limiter.current_limit
    wait = 60.0 if breached is None else breached.reset_at - time.time()
    return from_domain_error(TooManyRequests(int(wait) + 1))


limiter = Limiter(client_address)
limit_route = limiter.limit


class DefaultLimit:
    """The limit that every route keeps: per signed-in user, or per address for all others.

    Stores are made at the first request, since the memory store starts a timer thread.
    """

    def __init__(self, core: CoreSettings, caller_key: CallerKey) -> None:
        share = 1 if core.redis_url else core.workers
        self._user = self._items(core.ratelimit_default, share)
        self._anonymous = self._items(ANONYMOUS_LIMIT, share)
        self._redis_url = core.redis_url
        self._caller_key = caller_key
        self._lock = threading.Lock()
        self._shared: FixedWindowRateLimiter | None = None
        self._memory: FixedWindowRateLimiter | None = None
        self._away_until = 0.0
        self._complained_at = -COMPLAIN_SECONDS * 1.0

    @staticmethod
    def _items(limit: str, share: int) -> list[RateLimitItem]:
        return [item for text in _share(limit, share) for item in parse_many(text)]

    def check(self) -> None:
        """Count this request; TooManyRequests when the caller's window is full."""
        if request.method == "OPTIONS":  # a preflight never says who is asking
            return
        view = current_app.view_functions.get(request.endpoint or "")
        if view is None or getattr(view, UNLIMITED, False):
            return
        key = self._caller_key()
        items, name = (self._user, key) if key else (self._anonymous, client_address())
        for item in items:
            if not self._hit(item, name):
                raise TooManyRequests(int(item.get_expiry()))

    def _hit(self, item: RateLimitItem, key: str) -> bool:
        if self._redis_url and time.monotonic() >= self._away_until:
            try:
                return self._in_redis().hit(item, key)
            except Exception as error:  # every storage library raises its own
                self._away_until = time.monotonic() + RETRY_STORE_SECONDS
                if time.monotonic() - self._complained_at >= COMPLAIN_SECONDS:
                    self._complained_at = time.monotonic()
                    log.warning("rate limits count in memory, Redis is away: %s", error)
        return self._in_memory().hit(item, key)

    def _in_redis(self) -> FixedWindowRateLimiter:
        if self._shared is None:
            with self._lock:
                storage = RedisStorage(
                    self._redis_url,
                    socket_timeout=REDIS_PATIENCE_SECONDS,
                    socket_connect_timeout=REDIS_PATIENCE_SECONDS,
                )
                self._shared = FixedWindowRateLimiter(storage)
        return self._shared

    def _in_memory(self) -> FixedWindowRateLimiter:
        if self._memory is None:
            with self._lock:
                self._memory = FixedWindowRateLimiter(MemoryStorage())
        return self._memory


def init_app(app: Flask, core: CoreSettings, caller_key: CallerKey) -> None:
    """`caller_key` names the signed-in user of the request at hand, or None."""
    app.config.update(
        RATELIMIT_ENABLED=core.ratelimit_enabled,
        RATELIMIT_STORAGE_URI=core.redis_url or "memory://",
        RATELIMIT_STORAGE_OPTIONS=(
            {
                "socket_timeout": REDIS_PATIENCE_SECONDS,
                "socket_connect_timeout": REDIS_PATIENCE_SECONDS,
            }
            if core.redis_url
            else {}
        ),
        RATELIMIT_IN_MEMORY_FALLBACK_ENABLED=bool(core.redis_url),
        RATELIMIT_KEY_PREFIX="manga_backend",
    )
    limiter.init_app(app)
    app.register_error_handler(RateLimitExceeded, _refuse)
    if core.ratelimit_enabled:
        app.before_request(DefaultLimit(core, caller_key).check)
