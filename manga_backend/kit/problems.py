"""Refusals and faults as `application/problem+json` (RFC 9457), one shape for the whole backend."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections import deque
from http import HTTPStatus
from typing import Any, ClassVar

import marshmallow as ma
from apispec import APISpec
from flask import Flask, Response, current_app, request
from flask_smorest import Api as SmorestApi
from flask_smorest import Blueprint
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from werkzeug.exceptions import HTTPException

from manga_backend.kit.i18n import N_, gettext

log = logging.getLogger(__name__)

PROBLEM = "application/problem+json"
PROBLEM_PAGE = "kit.problem_page"
"""Extension slot: (status, detail) → an HTML answer for pages that people read, or None."""
RETRY_WHEN_AWAY_SECONDS = 5


class DomainError(Exception):
    """A refusal named for what it refuses; subclasses set status, code and detail.

    `detail` is an English message id with `%(name)s` places for `params`; it is translated when
    the answer is written. `keeps_changes`: the refusal is itself a fact to keep (a reused refresh
    token ends its session), so the transaction commits although the caller is refused.
    `exact`: a document gives the words, so `detail` in the answer is exactly them, and `message`
    has the translation.
    """

    status: ClassVar[int] = 422
    code: ClassVar[str] = "refused"
    detail: ClassVar[str] = N_("This can't be done.")
    keeps_changes: ClassVar[bool] = False
    exact: ClassVar[bool] = False
    headers: ClassVar[dict[str, str]] = {}

    def __init__(self, errors: dict[str, list[str]] | None = None, **params: Any) -> None:
        super().__init__(self.code)
        self.errors = errors
        self.params = params

    def message(self) -> str:
        """The detail in the language of the moment."""
        text = gettext(self.detail)
        return text % self.params if self.params else text

    def words(self) -> str:
        """The detail as it is answered."""
        return self.detail % self.params if self.exact else self.message()


class InvalidInput(DomainError):
    """A field is wrong in a way that only the business can see; `errors` names it."""

    status = 400
    code = "invalid_input"
    detail = N_("Some of the fields are not valid.")


class ProblemSchema(ma.Schema):
    """The body of every refusal (RFC 9457)."""

    type = ma.fields.String(required=True, metadata={"example": "about:blank"})
    title = ma.fields.String(required=True, metadata={"example": "Conflict"})
    status = ma.fields.Integer(required=True, metadata={"example": 409})
    detail = ma.fields.String(metadata={"description": "In the caller's language."})
    code = ma.fields.String(
        required=True, metadata={"description": "Stable; switch on this.", "example": "not_found"}
    )
    request_id = ma.fields.String(metadata={"description": "Quote it to support."})
    message = ma.fields.String(
        metadata={"description": "The translation, where `detail` has a document's exact words."}
    )
    errors = ma.fields.Dict(
        keys=ma.fields.String(),
        values=ma.fields.Raw(),
        metadata={"description": "Field → what is wrong with it."},
    )


_BY_STATUS = {
    400: ("malformed", N_("The request could not be read.")),
    401: ("unauthorized", N_("Sign in first.")),
    403: ("forbidden", N_("You may not do this.")),
    404: ("not_found", N_("There is nothing here.")),
    405: ("method_not_allowed", N_("This address does not support this method.")),
    406: ("not_acceptable", N_("This response is available only as JSON.")),
    408: ("request_timeout", N_("The request took too long to arrive.")),
    409: ("conflict", N_("This is no longer possible.")),
    413: ("too_large", N_("The request is too large.")),
    415: ("unsupported_media_type", N_("Send JSON with Content-Type: application/json.")),
    429: ("too_many_requests", N_("Too many requests. Wait a little.")),
    500: ("internal_error", N_("Something broke on our side. It has been reported.")),
    503: ("dependency_away", N_("Part of the service is unavailable. Please try again shortly.")),
}


def problem(
    status: int,
    code: str,
    detail: str,
    *,
    errors: Any = None,
    headers: dict[str, str] | None = None,
    message: str | None = None,
) -> Response:
    """Write one refusal; `detail` is already translated, or `message` is its translation."""
    page = current_app.extensions.get(PROBLEM_PAGE)
    response: Response | None = page(status, message or detail) if page else None
    if response is None:
        response = _as_json(status, code, detail, errors, message)
        if status == 401:
            response.headers["WWW-Authenticate"] = "Bearer"
    for name, value in (headers or {}).items():
        response.headers[name] = value
    return response


def _as_json(status: int, code: str, detail: str, errors: Any, message: str | None) -> Response:
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "code": code,
        "request_id": request_id(),
    }
    if errors:
        body["errors"] = errors
    if message is not None:
        body["message"] = message
    return Response(json.dumps(body), status, mimetype=PROBLEM)


def request_id() -> str:
    """The id of the request at hand."""
    return str(request.environ.get("manga.request_id", ""))


def from_domain_error(error: DomainError) -> Response:
    """The answer to a refusal by the business."""
    return problem(
        error.status,
        error.code,
        error.words(),
        errors=error.errors,
        headers=error.headers,
        message=error.message() if error.exact else None,
    )


def from_http_exception(error: HTTPException) -> Response:
    """The answer to what Flask, werkzeug and webargs raise."""
    status = error.code or 500
    code, detail = _BY_STATUS.get(status, ("refused", N_("This can't be done.")))
    data = getattr(error, "data", None) or {}
    errors = data.get("errors") or data.get("messages")
    if errors and status == 400:
        code, detail = InvalidInput.code, InvalidInput.detail
        errors = _flat(errors)
    headers = {k: v for k, v in error.get_headers() if k in ("Allow", "Retry-After")}
    return problem(status, code, gettext(detail), errors=errors, headers=headers)


def _flat(messages: Any) -> Any:
    """webargs nests by location (`json`, `query`); callers want field → list."""
    if isinstance(messages, dict) and set(messages) <= {"json", "query", "headers", "form"}:
        merged: dict[str, Any] = {}
        for part in messages.values():
            merged.update(part if isinstance(part, dict) else {"body": part})
        return merged
    return messages


def from_database_error(error: DBAPIError | PoolTimeout) -> Response:
    """503 when the database is away or busy; anything else is a fault of ours."""
    wait = RETRY_WHEN_AWAY_SECONDS
    if _is_unmigrated(error):
        words, wait = "a table is missing, run `flask --app wsgi db upgrade`", 60
    elif _pgcode(error) in _COLLISIONS:
        words, wait = "two transactions stood in each other's way", 1
    elif _is(error, _READ_ONLY, "readonly", "read-only"):
        words = "the database takes no writes"
    elif _is(error, _DISK_FULL, "is full"):
        words = "the database's disk is full"
    elif _is_away(error):
        words = "database away or busy"
    else:
        return from_unexpected(error)
    _say_seldom(words, error)
    code, detail = _BY_STATUS[503]
    return problem(503, code, gettext(detail), headers={"Retry-After": str(wait)})


def _say_seldom(words: str, error: Exception) -> None:
    """What lasts is one line a minute and not one for each request."""
    said: dict[str, float] = current_app.extensions.setdefault("kit.problems", {})
    now = time.monotonic()
    if now - said.get(words, -SAY_AGAIN_SECONDS) >= SAY_AGAIN_SECONDS:
        said[words] = now
        log.error("%s: %s", words, str(error).splitlines()[0])


def _is(error: Exception, pgcode: str, *sqlite_words: str) -> bool:
    if _pgcode(error) == pgcode:
        return True
    original = getattr(error, "orig", None)
    if type(original).__module__ != "sqlite3":
        return False
    return any(words in str(original).lower() for words in sqlite_words)


def _pgcode(error: Exception) -> str | None:
    code: str | None = getattr(getattr(error, "orig", None), "pgcode", None)
    return code


def _is_unmigrated(error: Exception) -> bool:
    return _pgcode(error) == "42P01" or "no such table" in str(getattr(error, "orig", ""))


_COLLISIONS = ("40001", "40P01")  # serialization failure, deadlock
_READ_ONLY, _DISK_FULL = "25006", "53100"  # read_only_sql_transaction, disk_full
_SQLITE_AWAY = ("locked", "unable to open", "disk i/o")
SAY_AGAIN_SECONDS = 60.0


def _is_away(error: DBAPIError | PoolTimeout) -> bool:
    if not isinstance(error, OperationalError | InterfaceError | PoolTimeout):
        return False
    if type(getattr(error, "orig", None)).__module__ != "sqlite3":
        return True
    # sqlite3 raises OperationalError for faults of ours too: a missing table, a wrong statement.
    return any(words in str(getattr(error, "orig", "")).lower() for words in _SQLITE_AWAY)


def from_unexpected(error: Exception) -> Response:
    """500 without a word of what happened; the log has it all."""
    log.error("unhandled error in %s %s", request.method, request.path, exc_info=error)
    code, detail = _BY_STATUS[500]
    return problem(500, code, gettext(detail))


class Api(SmorestApi):
    """flask-smorest with our problems in place of its errors, and no catch-all `default` answer."""

    ERROR_SCHEMA = ProblemSchema
    DEFAULT_ERROR_RESPONSE_NAME = None

    def __init__(self, app: Flask) -> None:
        self._undocumented: deque[Blueprint] = deque()
        self._documenting = threading.RLock()
        super().__init__(app)

    def register_blueprint(self, blp: Blueprint, **options: Any) -> None:
        """Its routes now, what the document says of them when it is first asked for: that takes as
        long as all else in a worker's start (decision 24)."""
        self._app.extensions["flask-smorest"]["blp_name_to_api"][blp.name] = self
        self._app.register_blueprint(blp, **options)
        self._undocumented.append(blp)

    @property
    def spec(self) -> APISpec:
        """The API's document, complete."""
        with self._documenting:
            while self._undocumented:
                blp = self._undocumented[0]
                blp.register_views_in_doc(
                    self, self._app, self._spec, name=blp.name, parameters=None
                )
                self._spec.tag({"name": blp.name, "description": blp.description})
                self._undocumented.popleft()  # not before: an incomplete document is a fault
        return self._spec

    @spec.setter
    def spec(self, made: APISpec) -> None:
        self._spec = made

    def _register_error_handlers(self) -> None:
        app = self._app
        app.register_error_handler(DomainError, from_domain_error)
        app.register_error_handler(HTTPException, from_http_exception)
        app.register_error_handler(DBAPIError, from_database_error)
        app.register_error_handler(PoolTimeout, from_database_error)
        app.register_error_handler(Exception, from_unexpected)
