"""Who is asking, and the marks that say who may: every route carries exactly one of them."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import wraps
from typing import Any, ParamSpec, Protocol, TypeVar

from flask import Flask, current_app, g, request
from sqlalchemy import Select

from manga_backend.kit.i18n import N_
from manga_backend.kit.problems import DomainError
from manga_backend.kit.registry import Registry

P = ParamSpec("P")
R = TypeVar("R")

MARK = "_access"
UNLIMITED = "_unlimited"
INIT_DATA = "_init_data"
_AUTHENTICATOR = "kit.authenticator"

Widen = Callable[[Select[Any]], Select[Any]]
"""Adds a route's own columns to the statement that finds the caller."""


grants: Registry[str] = Registry("permissions")
"""Right → the least role that holds it; each package registers its own in its wiring."""


class Forbidden(DomainError):
    """The caller is known and lacks the right."""

    status = 403
    code = "forbidden"
    detail = N_("You may not do this.")


@dataclass(frozen=True, slots=True)
class Principal:
    """The caller of this request; `row` has what the route asked to read along.

    `session_id` is None for a credential that makes no session; `product` is what the caller came
    through.
    """

    user_id: int
    session_id: uuid.UUID | None
    product: str
    permissions: frozenset[str]
    row: Mapping[Any, Any]

    def can(self, permission: str) -> bool:
        """Whether the caller holds the right `package:resource:action`."""
        return permission in self.permissions


class Authenticator(Protocol):
    """Proves who sent the request at hand, or raises a 401 refusal. With `init_data` what a Mini
    App was given by Telegram counts beside our own tokens."""

    def __call__(self, widen: Widen | None, *, init_data: bool) -> Principal: ...


def register_authenticator(app: Flask, authenticator: Authenticator) -> None:
    """Set by the package that owns identities, once."""
    if _AUTHENTICATOR in app.extensions:
        raise RuntimeError("an authenticator is registered already")
    app.extensions[_AUTHENTICATOR] = authenticator


def principal() -> Principal:
    """The caller; only inside a view marked with `require`."""
    caller: Principal = g.principal
    return caller


def caller_if_any(widen: Widen | None = None, *, init_data: bool = False) -> Principal | None:
    """Who sent this request to a public route; None if it does not say. Credentials that don't
    hold are refused (401), so that a client whose token ended notices."""
    if "Authorization" not in request.headers:
        return None
    caller: Principal = current_app.extensions[_AUTHENTICATOR](widen, init_data=init_data)
    return caller


def require(
    permission: str, widen: Widen | None = None, *, init_data: bool = False
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Only callers who hold `permission`; 401 without a session, 403 without the right.

    `widen` lets a hot route read its own columns in the statement that checks the session.
    `init_data`: what Telegram gave a Mini App is a credential here as well.
    """

    def mark(view: Callable[P, R]) -> Callable[P, R]:
        @wraps(view)
        def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
            caller: Principal = current_app.extensions[_AUTHENTICATOR](widen, init_data=init_data)
            if not caller.can(permission):
                raise Forbidden
            g.principal = caller
            return view(*args, **kwargs)

        setattr(guarded, MARK, permission)
        setattr(guarded, INIT_DATA, init_data)
        return guarded

    return mark


def public(view: Callable[P, R]) -> Callable[P, R]:
    """Anyone may call; said aloud, since routes are closed by default."""
    setattr(view, MARK, "public")
    return view


def unlimited(view: Callable[P, R]) -> Callable[P, R]:
    """Asked by machines for each image or every few seconds: the default rate limit is not kept."""
    setattr(view, UNLIMITED, True)
    return view


def unmarked(app: Flask) -> list[str]:
    """Endpoints without a mark; the start is refused while there are any."""
    return sorted(
        name for name, view in app.view_functions.items() if getattr(view, MARK, None) is None
    )


def mark_public(app: Flask, endpoint: str) -> None:
    """Say that a view of a library (static files, the API document) is public."""
    mark_view(app, endpoint, "public")


def mark_view(app: Flask, endpoint: str, mark: str) -> None:
    """Mark a view that a library registered and that another guard keeps.

    Static files are not counted by the default rate limit: one page asks for a dozen.
    """
    view = app.view_functions[endpoint]

    @wraps(view)
    def marked(*args: Any, **kwargs: Any) -> Any:
        return view(*args, **kwargs)

    setattr(marked, MARK, mark)
    setattr(marked, UNLIMITED, endpoint.rpartition(".")[2] == "static")
    app.view_functions[endpoint] = marked
