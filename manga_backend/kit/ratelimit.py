"""Rate limits: Flask-Limiter for the few guarded routes, one cheap count for all the rest.

Guarded routes count for all workers together: in Redis when it is set, else in the database. The
default limit counts in Redis, or each worker keeps its share in memory. A store that is away never
blocks a request: memory takes over and the log says so once a minute.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from flask import Flask, Request, Response, current_app, request
from flask_limiter import Limiter, RateLimitExceeded
from limits import RateLimitItem, parse_many
from limits.storage import RedisStorage
from limits.strategies import FixedWindowRateLimiter
from werkzeug.exceptions import HTTPException

from manga_backend.kit.i18n import N_
from manga_backend.kit.jobs import Schedule, jobs, schedules
from manga_backend.kit.limit_windows import purge_windows
from manga_backend.kit.principal import UNLIMITED
from manga_backend.kit.problems import DomainError, from_domain_error
from manga_backend.kit.settings import CoreSettings, settings

log = logging.getLogger(__name__)

REDIS_PATIENCE_SECONDS = 0.3
RETRY_STORE_SECONDS = 10
COMPLAIN_SECONDS = 60

PURGE = "ratelimit.purge"

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


class MemoryWindows:
    """Fixed windows of one process. The library's own memory store starts a timer thread every
    10 ms while requests come in, which costs more than the rest of a request's bookkeeping."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[tuple[int, int], Counter[str]] = {}

    def hit(self, item: RateLimitItem, key: str) -> bool:
        """Count one; False when the window was full."""
        return self.count(item, key) <= item.amount

    def count(self, item: RateLimitItem, key: str) -> int:
        """Count one: how many there are now in the running window."""
        seconds = item.get_expiry()
        window = int(time.time()) // seconds
        with self._lock:
            counts = self._counts.get((seconds, window))
            if counts is None:
                self._counts = {k: v for k, v in self._counts.items() if k[0] != seconds}
                counts = self._counts[(seconds, window)] = Counter()
            counts[key] += 1
            return counts[key]


def _share(limit: str, workers: int) -> list[RateLimitItem]:
    return [
        type(item)(max(1, item.amount // workers), item.multiples) for item in parse_many(limit)
    ]


def _refuse(_error: RateLimitExceeded) -> Response:
    """An error handler, no `on_breach`: what that raises Flask-Limiter takes for a dead store."""
    breached = limiter.current_limit
    wait = 60.0 if breached is None else breached.reset_at - time.time()
    return from_domain_error(TooManyRequests(int(wait) + 1))


limiter = Limiter(client_address)


def limit_of(name: str) -> Callable[[], str]:
    """The limit of this name as the running app is set (kit/settings.RATELIMITS)."""
    return lambda: settings(CoreSettings).ratelimits[name]


def limit_route(
    name: str,
    key: Callable[[], str] = client_address,
    exempt_when: Callable[[], bool] | None = None,
) -> Any:
    """Keep a named limit on a view, counted by `key` for all workers together."""
    return limiter.limit(limit_of(name), key_func=key, exempt_when=exempt_when)


class DefaultLimit:
    """The limit that every route keeps: per signed-in user, or per address for all others.

    With Redis, where the processes count together, the first few of a window are counted here
    alone (decision 22): most callers never come to more, and Redis is not asked for them. What was
    counted here is added when it comes to more, so that nobody is refused too early; all processes
    together may let a tenth more pass.
    """

    def __init__(self, core: CoreSettings, caller_key: CallerKey) -> None:
        self._workers = core.workers
        self._first = MemoryWindows()
        share = 1 if core.redis_url else core.workers
        self._user = _share(core.ratelimits["default"], share)
        self._anonymous = _share(core.ratelimits["anonymous"], share)
        self._redis_url = core.redis_url
        self._caller_key = caller_key
        self._lock = threading.Lock()
        self._shared: FixedWindowRateLimiter | None = None
        self._memory = MemoryWindows()
        self._away_until = 0.0
        self._complained_at = -COMPLAIN_SECONDS * 1.0

    def check(self) -> None:
        """Count this request; TooManyRequests when the caller's window is full."""
        asked: Request = request._get_current_object()  # type: ignore[attr-defined]
        if asked.method == "OPTIONS":  # a preflight never says who is asking
            return
        view = current_app.view_functions.get(asked.endpoint or "")
        if view is None or getattr(view, UNLIMITED, False):
            return
        key = self._caller_key()
        items, name = (self._user, key) if key else (self._anonymous, client_address())
        for item in items:
            if not self._hit(item, name):
                raise TooManyRequests(int(item.get_expiry()))

    def _hit(self, item: RateLimitItem, key: str) -> bool:
        if self._redis_url and time.monotonic() >= self._away_until:
            free = item.amount // (10 * self._workers)
            here = self._first.count(item, key)
            if here <= free:
                return True
            try:
                cost = free + 1 if here == free + 1 else 1
                return self._in_redis().hit(item, key, cost=cost)
            except Exception as error:  # every storage library raises its own
                self._away_until = time.monotonic() + RETRY_STORE_SECONDS
                if time.monotonic() - self._complained_at >= COMPLAIN_SECONDS:
                    self._complained_at = time.monotonic()
                    log.warning("rate limits count in memory, Redis is away: %s", error)
        return self._memory.hit(item, key)

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


def init_app(app: Flask, core: CoreSettings, caller_key: CallerKey) -> None:
    """`caller_key` names the signed-in user of the request at hand, or None."""
    app.config.update(
        RATELIMIT_ENABLED=core.ratelimit_enabled,
        RATELIMIT_STORAGE_URI=core.redis_url or "database://",
        RATELIMIT_STORAGE_OPTIONS=(
            {
                "socket_timeout": REDIS_PATIENCE_SECONDS,
                "socket_connect_timeout": REDIS_PATIENCE_SECONDS,
            }
            if core.redis_url
            else {}
        ),
        RATELIMIT_IN_MEMORY_FALLBACK_ENABLED=True,
        RATELIMIT_KEY_PREFIX="manga_backend",
    )
    # What the library hooks into every request is taken out again (decision 22): views with a limit
    # of their own check it themselves, and nothing of ours is counted or told after the answer.
    hooks: tuple[dict[Any, list[Any]], ...] = (
        app.before_request_funcs,
        app.after_request_funcs,
        app.teardown_request_funcs,
    )
    before = [list(found.get(None, [])) for found in hooks]
    limiter.init_app(app)
    for found, own in zip(hooks, before, strict=True):
        found[None] = own
    jobs.register(app, PURGE, purge_windows)
    schedules.register(app, PURGE, Schedule(PURGE, timedelta(hours=1)))
    app.register_error_handler(RateLimitExceeded, _refuse)
    if core.ratelimit_enabled:
        app.before_request(DefaultLimit(core, caller_key).check)
