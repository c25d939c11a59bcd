"""The Flask subclass: one request is one transaction; headers and ids on every answer."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable
from typing import Any, TypeVar

from flask import Flask, Request, Response, abort, request
from flask.json.provider import DefaultJSONProvider
from flask_cors import CORS
from sqlalchemy.exc import DBAPIError
from werkzeug.middleware.proxy_fix import ProxyFix

from manga_backend.kit import db as database
from manga_backend.kit import engines
from manga_backend.kit.http import choose_request_id
from manga_backend.kit.metrics import observe_request
from manga_backend.kit.principal import mark_public, unmarked
from manga_backend.kit.problems import Api
from manga_backend.kit.settings import ROOT, CoreSettings, refresh

log = logging.getLogger(__name__)

MAX_BODY_BYTES = 1024 * 1024
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
ALLOWED_HEADERS = [
    "Authorization",
    "Content-Type",
    "Idempotency-Key",
    "X-Admin-Secret",
    "X-API-Token",
]
EXPOSED_HEADERS = ["X-Request-ID", "X-Pagination", "Retry-After"]
HSTS = "max-age=31536000; includeSubDomains"
COMPLAIN_SECONDS = 60


class Json(DefaultJSONProvider):
    """Flask's JSON, to which a body of a thousand brackets is malformed and not a fault of ours."""

    def loads(self, s: str | bytes, **kwargs: Any) -> Any:
        try:
            return super().loads(s, **kwargs)
        except RecursionError:
            raise ValueError("nested too deeply") from None


OWNS = "_owns_transactions"
F = TypeVar("F", bound=Callable[..., Any])
V = TypeVar("V", bound=Callable[..., Any])


def owns_transactions(view: V) -> V:
    """Marks a view that says itself when a transaction begins and ends."""
    setattr(view, OWNS, True)
    return view


class App(Flask):
    """Flask, with the transaction around each view."""

    json_provider_class = Json
    api: Api

    def ensure_sync(self, func: F) -> F:
        """All views and hooks are plain functions: Flask would look at each, for each request."""
        return func

    def wsgi_app(self, environ: dict[str, Any], start_response: Any) -> Any:
        """Flask's, with our headers on all that it answers."""

        def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
            return start_response(status, _with_ours(headers, environ), exc_info)

        return super().wsgi_app(environ, start)

    def dispatch_request(self) -> Any:
        """Run the view in a transaction: return commits, raise rolls back; a GET keeps nothing.

        A view that clashed with another request in the database runs again. One that calls an
        outside system opens its own transactions (`owns_transactions`): none is open meanwhile."""
        if request.method in SAFE_METHODS:
            with database.reading():
                try:
                    return super().dispatch_request()
                finally:
                    database.rollback()
        rule = request.url_rule
        if rule is not None and getattr(self.view_functions[rule.endpoint], OWNS, False):
            return super().dispatch_request()
        return database.in_transaction(super().dispatch_request)


def create(settings_by_kind: dict[type, Any], version: str) -> App:
    """An app with what every request needs; packages plug in after this."""
    core: CoreSettings = settings_by_kind[CoreSettings]
    app = App(
        "manga_backend",
        instance_path=str(core.instance_path),
        root_path=str(ROOT / "manga_backend"),
        template_folder=str(ROOT / "templates"),
        static_folder=str(ROOT / "manga_backend" / "static"),
    )
    app.extensions["settings"] = settings_by_kind
    app.url_map.strict_slashes = False
    app.url_map.merge_slashes = False
    app.json.sort_keys = False  # type: ignore[attr-defined]
    app.config.update(
        SECRET_KEY=core.secret_key,
        MAX_CONTENT_LENGTH=MAX_BODY_BYTES,
        MAX_FORM_MEMORY_SIZE=MAX_BODY_BYTES,
        API_TITLE="manga_backend",
        API_VERSION=version,
        OPENAPI_VERSION="3.0.3",
        OPENAPI_URL_PREFIX="/",
        API_SPEC_OPTIONS={
            "components": {
                "securitySchemes": {
                    "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
                    "admin_secret": {"type": "apiKey", "in": "header", "name": "X-Admin-Secret"},
                }
            }
        },
    )
    if core.trusted_proxies:
        hops = core.trusted_proxies
        app.wsgi_app = ProxyFix(  # type: ignore[method-assign]
            app.wsgi_app, x_for=hops, x_proto=hops, x_host=hops
        )
    engines.configure(app, core)
    app.before_request(_begin)
    app.after_request(_finish)
    app.teardown_request(_log_disconnect)
    _allow_origins(app, core)
    app.api = Api(app)
    mark_public(app, "static")
    mark_public(app, "api-docs.openapi_json")
    return app


def refuse_unmarked_routes(app: App) -> None:
    """At the end of the start: RuntimeError if a route says neither who may call nor `public`."""
    if open_routes := unmarked(app):
        raise RuntimeError(f"routes without require(...) or public: {', '.join(open_routes)}")


def _begin() -> None:
    """Runs before each view: the proxy of the request is looked through once."""
    asked: Request = request._get_current_object()  # type: ignore[attr-defined]
    environ = asked.environ
    if asked.method not in ("GET", "HEAD", "OPTIONS"):
        refresh()
    environ["manga.began"] = time.perf_counter()
    environ["manga.request_id"] = choose_request_id(environ)
    if "\x00" in asked.path:
        abort(404)
    # werkzeug cuts a chunked body at the limit instead of refusing it.
    chunked = "chunked" in environ.get("HTTP_TRANSFER_ENCODING", "").lower()
    if chunked and len(asked.get_data(cache=True)) >= MAX_BODY_BYTES:
        abort(413)
    if b"%00" in asked.query_string:  # no text that we keep or look for has one
        abort(400)


_HEADERS = (
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    ("Referrer-Policy", "same-origin"),
)


def _with_ours(headers: list[tuple[str, str]], environ: dict[str, Any]) -> list[tuple[str, str]]:
    """On every answer, whoever wrote it; put in where it leaves, which costs a tenth of what
    werkzeug's checks of headers do."""
    chosen = environ.get("manga.request_id") or choose_request_id(environ)
    ours = [*headers, *_HEADERS, ("X-Request-ID", chosen)]
    if environ["wsgi.url_scheme"] == "https":
        ours.append(("Strict-Transport-Security", HSTS))
    said = any(name == "Cache-Control" for name, _ in headers)
    if not said and not environ.get("PATH_INFO", "").startswith("/static/"):
        ours.append(("Cache-Control", "no-store"))
    return ours


def _finish(response: Response) -> Response:
    """Runs for each answer: the proxy of the request is looked through once."""
    asked: Request = request._get_current_object()  # type: ignore[attr-defined]
    environ, rule = asked.environ, asked.url_rule
    if began := environ.get("manga.began"):
        route, seconds = rule.rule if rule else "none", time.perf_counter() - began
        observe_request(route, asked.method, response.status_code, seconds)
    return response


def _log_disconnect(error: BaseException | None) -> None:
    if isinstance(error, DBAPIError) and error.connection_invalidated:
        log.warning("a database connection was lost during a request")


def _allow_origins(app: App, core: CoreSettings) -> None:
    """Exactly the listed origins; a refused one is a log line that says how to allow it."""
    allowed = frozenset(core.allowed_origins)
    if allowed:
        CORS(
            app,
            # As patterns: a string that looks like one (`http://[::1]:3000`) would be read as one.
            origins=[re.compile(rf"{re.escape(origin)}\Z") for origin in sorted(allowed)],
            always_send=False,
            allow_headers=ALLOWED_HEADERS,
            expose_headers=EXPOSED_HEADERS,
            supports_credentials=False,
            max_age=600,
        )
    complained: dict[str, float] = {}

    @app.after_request
    def explain_refused_origin(response: Response) -> Response:
        origin = request.environ.get("HTTP_ORIGIN")
        if not origin or origin in allowed or origin == "null":
            return response
        if origin != request.host_url.rstrip("/"):
            now = time.monotonic()
            if now - complained.get(origin, -COMPLAIN_SECONDS) >= COMPLAIN_SECONDS:
                if len(complained) > 1000:
                    complained.clear()
                complained[origin] = now
                log.warning("origin %r is not in ALLOWED_ORIGINS, browsers refuse it", origin[:200])
        return response
