"""/auth/*: registration, sign-in, sessions and the Telegram link."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any, TypeVar
from wsgiref.types import WSGIEnvironment

from flask import Response, request, session
from flask_smorest.pagination import PaginationParameters

from manga_backend.kernel.identity import errors, queries, schemas
from manga_backend.kernel.identity.domain import USERNAME, username_key
from manga_backend.kernel.identity.permissions import USE_OWN_ACCOUNT
from manga_backend.kernel.identity.service import accounts, sessions, telegram, webapp
from manga_backend.kernel.identity.service.tokens import read_token
from manga_backend.kernel.identity.types import Claims, Device, EndReason, TelegramProfile
from manga_backend.kit.http import Blueprint, paged
from manga_backend.kit.i18n import asked_language
from manga_backend.kit.principal import Principal, Widen, principal, public, require
from manga_backend.kit.problems import DomainError
from manga_backend.kit.ratelimit import body_field, client_address, limit_route

T = TypeVar("T")

_CLAIMS, _PROFILE = "manga.claims", "manga.telegram_profile"
PANEL_SESSION = "sid"
"""Where the panel's cookie keeps its session's id."""

auth = Blueprint(
    "identity_auth",
    __name__,
    url_prefix="/auth",
    description="Registration, sign-in and sessions. Each sign-in ends the one before it.",
)


def _authorization(environ: WSGIEnvironment) -> str:
    """The header as WSGI has it (PEP 3333): each request is asked for it several times."""
    return str(environ.get("HTTP_AUTHORIZATION", ""))


def _bearer(environ: WSGIEnvironment) -> str:
    scheme, _, token = _authorization(environ).partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise errors.TokenMissing
    return token.strip()


def _once(environ: WSGIEnvironment, slot: str, verify: Callable[[str], T]) -> T:
    """What this request's credential says, verified once however often it is asked for."""
    found = environ.get(slot)
    if found is None:
        try:
            found = verify(_bearer(environ))
        except DomainError as refusal:
            found = refusal
        environ[slot] = found
    if isinstance(found, DomainError):
        raise found
    verified: T = found
    return verified


def _claims(environ: WSGIEnvironment) -> Claims:
    """Of the access token of this request."""
    return _once(environ, _CLAIMS, lambda token: read_token(token, "access"))


def _profile(environ: WSGIEnvironment) -> TelegramProfile:
    """Whoever the initData of this request vouches for, verified once."""
    return _once(environ, _PROFILE, webapp.read_init_data)


def _is_init_data(environ: WSGIEnvironment) -> bool:
    """Our tokens have no such character in them."""
    return "=" in _authorization(environ) and webapp.product_of_init_data() != ""


def authenticate(widen: Widen | None, *, init_data: bool) -> Principal:
    """The authenticator of the API: kit/principal.py."""
    environ = request.environ
    if init_data and _is_init_data(environ):
        return webapp.authenticate(_profile(environ), widen)
    return sessions.authenticate(_claims(environ), widen)


def caller_key() -> str | None:
    """Whom the default rate limit counts: the user of a valid token or initData, the panel session
    of a signed cookie, else nobody in particular."""
    environ = request.environ
    if "HTTP_AUTHORIZATION" not in environ:
        panel_session = session.get(PANEL_SESSION)
        return f"panel:{panel_session}" if panel_session else None
    try:
        if _is_init_data(environ):
            return f"telegram:{_profile(environ).telegram_id}"
        return _claims(environ).user
    except DomainError:
        return None


def device() -> Device:
    """From where the request at hand comes."""
    return Device(address=client_address(), user_agent=request.headers.get("User-Agent"))


def _named_user() -> str:
    """The name that is tried; one that no account can have counts for its address."""
    name = body_field("username")
    if not isinstance(name, str) or not USERNAME.fullmatch(name):
        return client_address()
    return f"name:{username_key(name)}"


def _own_session() -> uuid.UUID:
    """The session of the token at hand: initData is no credential here."""
    found = principal().session_id
    assert found is not None
    return found


def _signed_in() -> str:
    return f"user:{principal().user_id}"


@auth.route("/register", methods=["POST"])
@public
@limit_route("register")
@auth.refuses(errors.UsernameTaken, errors.TelegramIdTaken)
@auth.arguments(schemas.RegisterSchema)
@auth.response(201, schemas.RegisteredSchema)
def register(new: dict[str, Any]) -> Any:
    """Open an account. The Telegram id is a claim until it is verified by a link."""
    return accounts.register(
        new["username"], new["password"], new["telegram_id"], language=asked_language()
    )


@auth.route("/login", methods=["POST"])
@public
@limit_route("login")
@limit_route("login_name", _named_user)
@auth.refuses(errors.InvalidCredentials, errors.Banned, errors.CodeRequired, errors.CodeWrong)
@auth.arguments(schemas.LoginSchema)
@auth.response(200, schemas.TokensSchema)
def login(credentials: dict[str, Any]) -> Any:
    """Sign in with name and password; the session before this one ends at once."""
    name, password = credentials["username"], credentials["password"]
    more = {key: credentials.get(key) for key in ("code", "product")}
    return accounts.sign_in(name, password, device(), **more)


@auth.route("/telegram/webapp", methods=["POST"])
@public
@limit_route("login")
@auth.refuses(
    errors.InitDataInvalid, errors.InitDataExpired, errors.TelegramSignInOff, errors.Banned
)
@auth.arguments(schemas.InitDataSchema)
@auth.response(200, schemas.TokensSchema)
def sign_in_by_init_data(body: dict[str, Any]) -> Any:
    """Sign in from a Mini App; the account is opened at first sight."""
    return webapp.sign_in_by_init_data(body["init_data"], device(), body.get("product"))


@auth.route("/telegram/widget", methods=["POST"])
@public
@limit_route("login")
@auth.refuses(
    *(errors.InitDataInvalid, errors.InitDataExpired, errors.WidgetUsed),
    *(errors.TelegramSignInOff, errors.Banned),
)
@auth.arguments(schemas.ProductSchema, location="query")
@auth.arguments(schemas.WidgetSchema)
@auth.response(200, schemas.TokensSchema)
def sign_in_by_widget(query: dict[str, Any], fields: dict[str, str]) -> Any:
    """Sign in by the Login Widget's fields; each payload is good once. What comes of it counts for
    the product that the query names, or for the first one."""
    return webapp.sign_in_by_widget(fields, device(), query.get("product"))


@auth.route("/refresh", methods=["POST"])
@public
@limit_route("refresh")
@auth.refuses(*errors.SESSION_REFUSALS, errors.RefreshReused)
@auth.doc(security=[{"bearer": []}])
@auth.response(200, schemas.TokensSchema)
def refresh() -> Any:
    """New tokens for the refresh token in the Authorization header; the session's time slides."""
    return sessions.refresh(_bearer(request.environ))


@auth.route("/logout", methods=["POST"])
@require(USE_OWN_ACCOUNT)
@auth.response(204)
def logout() -> Any:
    """End this session."""
    sessions.sign_out(principal().user_id, _own_session())
    return Response(status=204)


@auth.route("/password", methods=["POST"])
@require(USE_OWN_ACCOUNT)
@limit_route("password", _signed_in)
@auth.refuses(errors.WrongPassword)
@auth.arguments(schemas.PasswordSchema)
@auth.response(204)
def change_password(passwords: dict[str, Any]) -> Any:
    """Change the password; all other sessions end."""
    accounts.change_password(principal(), passwords["current_password"], passwords["new_password"])
    return Response(status=204)


@auth.route("/sessions")
@require(USE_OWN_ACCOUNT)
@auth.response(200, schemas.SessionSchema(many=True))
@auth.paginate()
def list_sessions(pagination_parameters: PaginationParameters) -> Any:
    """The caller's live sessions, newest first."""
    live = paged(queries.live_sessions(principal().user_id), pagination_parameters)
    return schemas.as_sessions(live, _own_session())


@auth.route("/sessions/<uuid:session_id>", methods=["DELETE"])
@require(USE_OWN_ACCOUNT)
@auth.refuses(errors.SessionNotFound)
@auth.response(204)
def end_session(session_id: uuid.UUID) -> Any:
    """End one of the caller's sessions."""
    sessions.end_session(principal().user_id, session_id, EndReason.SIGNED_OUT)
    return Response(status=204)


@auth.route("/telegram/link", methods=["POST"])
@require(USE_OWN_ACCOUNT)
@limit_route("code", _signed_in)
@auth.response(201, schemas.LinkSchema)
def make_telegram_link() -> Any:
    """A code for `/start` that proves the caller's Telegram id; good once, for 15 minutes."""
    return telegram.make_link(principal().user_id)
