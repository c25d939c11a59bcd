"""Tokens: made by flask-jwt-extended, verified by the JWT library under it with every live key."""

from __future__ import annotations

import hmac
import uuid
from functools import lru_cache
from typing import Any

import jwt
from flask_jwt_extended import create_access_token, create_refresh_token

from manga_backend.kernel.identity.errors import TokenExpired, TokenInvalid
from manga_backend.kernel.identity.models import Session, User
from manga_backend.kernel.identity.settings import IdentitySettings
from manga_backend.kernel.identity.types import Claims, Tokens
from manga_backend.kit import clock
from manga_backend.kit.settings import settings

ISSUER = "manga_backend"
AUDIENCE = "manga_backend"
ALGORITHM = "HS256"
CLOCK_SKEW_SECONDS = 5
TOKENS_KEPT = 4096
"""A kilobyte and a half each."""
_OPTIONS: Any = {"require": ["exp", "iat", "sub", "jti"]}


def issue_tokens(user: User, session: Session) -> Tokens:
    """An access token and the refresh token of the session's current generation."""
    claims = {
        "sid": session.id.hex,
        "salt": session.salt,
        "role": user.role.value,
        "product": session.product,
    }
    subject = str(user.public_id)
    return Tokens(
        access_token=create_access_token(subject, additional_claims=claims),
        refresh_token=create_refresh_token(
            subject, additional_claims={**claims, "gen": session.generation}
        ),
        expires_in=int(settings(IdentitySettings).access_lifetime.total_seconds()),
    )


def read_token(text: str, kind: str) -> Claims:
    """Verify a token of `kind` (access, refresh); TokenExpired or TokenInvalid. Whether its session
    still lives is the database's to say, each time."""
    claims, begins_at, ends_at = _verified(text, kind, settings(IdentitySettings).jwt_keys)
    now = clock.now().timestamp()
    if begins_at > now + CLOCK_SKEW_SECONDS:  # the clock was set back: no process takes it then
        raise TokenInvalid
    if ends_at <= now - CLOCK_SKEW_SECONDS:
        raise TokenExpired
    return claims


@lru_cache(maxsize=TOKENS_KEPT)
def _verified(text: str, kind: str, keys: tuple[str, ...]) -> tuple[Claims, float, float]:
    """A signature is verified once for each token and process, as long as the token is in use; with
    its claims goes when it begins and when it ends."""
    decoded = _decode(text, keys)
    try:
        if decoded["type"] != kind:
            raise TokenInvalid
        claims = Claims(
            user=decoded["sub"],
            session_id=uuid.UUID(hex=decoded["sid"]),
            salt=str(decoded["salt"]),
            generation=int(decoded.get("gen", 0)),
        )
        return claims, float(decoded["iat"]), float(decoded["exp"])
    except (KeyError, ValueError, TypeError, AttributeError):
        raise TokenInvalid from None


def _decode(text: str, keys: tuple[str, ...]) -> dict[str, Any]:
    for key in keys:
        try:
            decoded: dict[str, Any] = jwt.decode(
                text,
                key,
                algorithms=[ALGORITHM],
                audience=AUDIENCE,
                issuer=ISSUER,
                leeway=CLOCK_SKEW_SECONDS,
                options=_OPTIONS,
            )
            return decoded
        except jwt.InvalidSignatureError:
            continue  # perhaps signed with an older key
        except jwt.ExpiredSignatureError:
            raise TokenExpired from None
        except (jwt.InvalidTokenError, ValueError):
            raise TokenInvalid from None
    raise TokenInvalid


def same_salt(one: str, other: str) -> bool:
    """In constant time."""
    return hmac.compare_digest(one.encode(), other.encode())
