"""Blueprints that are closed by default and document every refusal; strict input; paging."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import cache, lru_cache
from typing import Any, ClassVar, TypeVar

import marshmallow as ma
from flask import Request, current_app
from flask_smorest import Blueprint as SmorestBlueprint
from flask_smorest.pagination import PaginationParameters
from sqlalchemy import Select, func, select
from webargs.core import ValidationError
from webargs.flaskparser import FlaskParser
from werkzeug.exceptions import BadRequest, UnsupportedMediaType

from manga_backend.kit import clock
from manga_backend.kit.db import session
from manga_backend.kit.money import EXPONENTS, Money, parse_decimal
from manga_backend.kit.principal import INIT_DATA, MARK, UNLIMITED
from manga_backend.kit.problems import PROBLEM, DomainError, InvalidInput, ProblemSchema

F = TypeVar("F", bound=Callable[..., Any])

REQUEST_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}")
MAX_PAGE = 100_000
QUERIES_KEPT = 1000
"""In each process; the longest of them in bytes:"""
LONGEST_KEPT_QUERY = 200
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


class Schema(ma.Schema):
    """Input is strict (unknown fields are an error), output keeps the order of the fields.

    `READ_ONCE`, of a query: what it says depends on its text alone, not on the moment, the language
    or the database, and is read once for each text (decision 22). Its values are not changed.
    """

    READ_ONCE: ClassVar[bool] = False

    class Meta:
        unknown = ma.RAISE


class Moment(ma.fields.DateTime):
    """A moment in UTC: `2026-11-21T09:30:00Z` out; any ISO 8601 time with a zone in."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(format="iso", **kwargs)

    def _serialize(self, value: Any, attr: Any, obj: Any, **kwargs: Any) -> Any:
        return None if value is None else clock.isoformat(value)

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> Any:
        try:
            moment: datetime = super()._deserialize(value, attr, data, **kwargs)
            if moment.tzinfo is None:
                raise self.make_error("invalid", input=value, obj_type=self.OBJ_TYPE)
            return moment.astimezone(UTC)
        except OverflowError as error:
            raise self.make_error("invalid", input=value, obj_type=self.OBJ_TYPE) from error


def sign_of_life() -> None:
    """Tell the server that this worker still works: an answer that is sent for long needs it."""
    current_app.extensions.get("sign_of_life", lambda: None)()


class AmountOf(ma.fields.Field[Money]):
    """An amount of one currency: `"25.00"`, a text of digits and a point; exact, or refused."""

    def __init__(self, currency: str, **kwargs: Any) -> None:
        self._currency = currency
        super().__init__(**kwargs)
        self.metadata = {"type": "string", **self.metadata}

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> Money:
        found = parse_decimal(value, self._currency) if isinstance(value, str) else None
        if found is None:
            most = EXPONENTS[self._currency]
            raise ma.ValidationError(
                f"Not an amount: a text of digits, and a point before at most {most} decimals."
            )
        return Money(found, self._currency)


def storable(value: Any) -> bool:
    """No NUL and no half of a surrogate pair anywhere: PostgreSQL can't keep those."""
    if isinstance(value, str):
        return not _UNSTORABLE.search(value)
    if isinstance(value, dict):
        return all(storable(k) and storable(v) for k, v in value.items())
    if isinstance(value, list):
        return all(map(storable, value))
    return True


def made_storable(value: Any) -> Any:
    """The same with U+FFFD for each of those: for what others send and is not theirs to correct."""
    if isinstance(value, str):
        return _UNSTORABLE.sub("\ufffd", value)
    if isinstance(value, dict):
        return {made_storable(key): made_storable(each) for key, each in value.items()}
    if isinstance(value, list):
        return [made_storable(each) for each in value]
    return value


@cache
def _schema_of(kind: type[ma.Schema]) -> ma.Schema:
    return kind()


class StrictParser(FlaskParser):
    """webargs with our table of errors: 400 for bad input, 415 for a body that is not JSON."""

    DEFAULT_VALIDATION_STATUS = 400

    def __init__(self) -> None:
        super().__init__()
        self._read_once = lru_cache(maxsize=QUERIES_KEPT)(self._read_query)

    def parse(
        self, argmap: Any, req: Request | None = None, *, location: str | None = None, **given: Any
    ) -> Any:
        """webargs', but for a query that is to be read once."""
        if location == "query" and getattr(argmap, "READ_ONCE", False):
            text = self.get_default_request().query_string
            if len(text) <= LONGEST_KEPT_QUERY:
                return dict(self._read_once(argmap, text))
        return super().parse(argmap, req, location=location, **given)

    def _read_query(self, schema: type[Schema], _text: bytes) -> dict[str, Any]:
        """The query of the request at hand, whose text is `_text`."""
        found: dict[str, Any] = super().parse(schema, location="query")
        return found

    def _get_schema(self, argmap: Any, req: Request) -> ma.Schema:
        """One of each class for all requests: webargs makes one for each, which takes longer than
        reading with it."""
        if isinstance(argmap, type) and issubclass(argmap, ma.Schema):
            return _schema_of(argmap)
        return super()._get_schema(argmap, req)

    def load_json(self, req: Request, schema: ma.Schema) -> Any:
        if not req.is_json and (req.content_length or 0) > 0:
            raise UnsupportedMediaType
        try:
            data = super().load_json(req, schema)
            is_storable = storable(data)
        except (ValueError, RecursionError):  # a number of 5,000 digits, 100,000 brackets
            raise BadRequest from None
        if not is_storable:
            raise ValidationError({"body": ["Contains a character that can't be stored."]})
        return data

    def _handle_invalid_json_error(self, error: ValueError, *_: Any, **__: Any) -> Any:
        raise BadRequest from error

    def load_querystring(self, req: Request, schema: ma.Schema) -> Any:
        if not all(storable(v) for values in req.args.lists() for v in (values[0], *values[1])):
            raise ValidationError({"query": ["Contains a character that can't be stored."]})
        return super().load_querystring(req, schema)


_PARSER = StrictParser()


IDEMPOTENCY_KEY = {
    "in": "header",
    "name": "Idempotency-Key",
    "description": "The same key, user and body within 24 h: the first answer again.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
}


class Refused:
    """The documented refusals of one route, gathered by status."""

    def __init__(self) -> None:
        self.by_status: dict[int, dict[str, str]] = defaultdict(dict)

    def add(self, status: int, code: str, detail: str) -> None:
        self.by_status[status].setdefault(code, detail)


class Blueprint(SmorestBlueprint):
    """A smorest blueprint whose routes must be marked `require(...)` or `public`."""

    ARGUMENTS_PARSER = _PARSER
    PAGINATION_ARGUMENTS_PARSER = _PARSER
    DEFAULT_PAGINATION_PARAMETERS = {"page": 1, "page_size": 20, "max_page_size": 100}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._prepare_doc_cbks.append(self._prepare_problems_doc)

    def add_url_rule(
        self, rule: str, endpoint: str | None = None, view_func: Any = None, *a: Any, **kw: Any
    ) -> None:
        mark = getattr(view_func, MARK, None)
        if mark is None:
            raise RuntimeError(f"{self.name}: {rule} is marked neither require(...) nor public")
        if view_func is not None:
            apidoc = view_func.__dict__.setdefault("_apidoc", {})
            apidoc["has_places"] = "<" in rule
            apidoc["access"] = (mark, getattr(view_func, UNLIMITED, False))
            apidoc["takes_init_data"] = getattr(view_func, INIT_DATA, False)
            if mark != "public":
                manual = apidoc.setdefault("manual_doc", {})
                manual.setdefault("security", [{"bearer": []}])
        super().add_url_rule(rule, endpoint, view_func, *a, **kw)

    @staticmethod
    def refuses(*errors: type[DomainError]) -> Callable[[F], F]:
        """Document the refusals that a view may answer with."""

        def mark(view: F) -> F:
            apidoc = view.__dict__.setdefault("_apidoc", {})
            apidoc["refuses"] = (*apidoc.get("refuses", ()), *errors)
            return view

        return mark

    def _document_pagination_metadata(self, spec: Any, resp_doc: dict[str, Any]) -> None:
        """As a header really is: JSON in a string."""
        resp_doc.setdefault("headers", {})["X-Pagination"] = {
            "description": "JSON: total, total_pages, first_page, last_page, page, …",
            "schema": {"type": "string"},
        }

    def _prepare_problems_doc(
        self, doc: dict[str, Any], info: dict[str, Any], **_: Any
    ) -> dict[str, Any]:
        refused = Refused()
        access, is_unlimited = info.get("access", ("public", False))
        for error in info.get("refuses", ()):
            refused.add(error.status, error.code, error.detail)
        if {"arguments", "pagination", "idempotent"} & info.keys():
            refused.add(400, InvalidInput.code, InvalidInput.detail)
        if doc.get("requestBody"):
            refused.add(400, "malformed", "The body is not JSON.")
            refused.add(413, "too_large", "The body is larger than 1 MiB.")
            refused.add(415, "unsupported_media_type", "The body is not JSON.")
        if info.get("has_places"):
            refused.add(404, "not_found", "Nothing has this id.")
        if access != "public":
            for code in (
                "token_missing",
                "token_invalid",
                "token_expired",
                "session_replaced",
                "session_revoked",
            ):
                refused.add(401, code, "See Authentication.")
            refused.add(403, "forbidden", f"The right {access} is missing.")
            if info.get("takes_init_data"):
                for code in ("init_data_invalid", "init_data_expired"):
                    refused.add(401, code, "See Authentication.")
                refused.add(403, "banned", "The account is banned.")
                refused.add(422, "telegram_off", "Signing in by Telegram is not available.")
        if not is_unlimited:
            refused.add(429, "too_many_requests", "Wait for Retry-After seconds.")
        if info.get("idempotent"):
            doc.setdefault("parameters", []).append(IDEMPOTENCY_KEY)
        refused.add(503, "dependency_away", "The database is away.")
        responses = doc.setdefault("responses", {})
        for status in (400, 422):  # smorest's own words for bad arguments
            if isinstance(responses.get(status), str):
                del responses[status]
        for status, codes in refused.by_status.items():
            words = "; ".join(f"`{code}`: {detail}" for code, detail in codes.items())
            responses[status] = {
                "description": words,
                "content": {PROBLEM: {"schema": ProblemSchema}},
            }
        return doc


def paged(statement: Select[Any], page: PaginationParameters) -> Sequence[Any]:
    """One page of a select of models, newest first by the select's own order; counts in SQL."""
    return session().scalars(_page_of(statement, page)).all()


def paged_rows(statement: Select[Any], page: PaginationParameters) -> Sequence[Any]:
    """The same for a select of several columns: whole rows."""
    return session().execute(_page_of(statement, page)).all()


def _page_of(statement: Select[Any], page: PaginationParameters) -> Select[Any]:
    if page.page > MAX_PAGE:
        raise InvalidInput({"page": [f"Must be at most {MAX_PAGE}."]})
    counted = select(func.count()).select_from(statement.order_by(None).subquery())
    page.item_count = session().scalar(counted)
    return statement.limit(page.page_size).offset(page.first_item)


def choose_request_id(environ: Mapping[str, Any]) -> str:
    """The caller's X-Request-ID if it is a sane one, else a new one."""
    offered = environ.get("HTTP_X_REQUEST_ID", "")
    return offered if offered and REQUEST_ID.fullmatch(offered) else os.urandom(16).hex()
