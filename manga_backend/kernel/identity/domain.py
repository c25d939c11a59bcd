"""Passwords, salts and codes: values in, values out."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Any
from urllib.parse import parse_qsl

import pyotp
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from manga_backend.kernel.identity.errors import InitDataInvalid
from manga_backend.kernel.identity.types import TelegramProfile
from manga_backend.kit import codes
from manga_backend.kit.later import Later

AES = Later("Crypto.Cipher.AES")
eddsa = Later("Crypto.Signature.eddsa")

USERNAME = re.compile(r"[A-Za-z0-9._-]{3,32}")
MAX_TELEGRAM_ID = 2**52
MIN_PASSWORD, MAX_PASSWORD = 8, 128
CODE_CHARACTERS = 10

# OWASP Password Storage Cheat Sheet: argon2id, t=2, m=19 MiB, p=1. The library's default costs
# 148 ms of CPU, this 17 ms (measured).
_hasher = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)


@cache
def _nobodys_hash() -> str:
    return _hasher.hash("nobody has this password")


def hash_password(password: str) -> str:
    """17 ms of CPU: call it before a transaction begins."""
    return _hasher.hash(password)


def password_matches(password_hash: str | None, password: str) -> bool:
    """Takes the same time without a hash, so that unknown names can't be told from known ones."""
    try:
        return (
            _hasher.verify(password_hash or _nobodys_hash(), password) and password_hash is not None
        )
    except (VerificationError, InvalidHashError):
        return False


def needs_rehash(password_hash: str) -> bool:
    """Whether the hash was made with weaker parameters than today's."""
    return _hasher.check_needs_rehash(password_hash)


def new_salt() -> str:
    """128 random bits."""
    return secrets.token_urlsafe(16)


def new_link_code() -> str:
    """50 random bits, one use, 15 minutes; fits Telegram's start parameter."""
    return codes.new_code(CODE_CHARACTERS)


def code_hash(code: str) -> str:
    """What is stored of a code."""
    stored = codes.normalised(code, CODE_CHARACTERS) or code
    return hashlib.sha256(stored.encode(errors="replace")).hexdigest()


def username_key(username: str) -> str:
    """Case does not matter; the form is ASCII, so lower() is enough."""
    return username.lower()


# ---- the second factor ------------------------------------------------------------------------

STEP_SECONDS = 30
RECOVERY_CHARACTERS = 12
RECOVERY_CODES = 10
_NONCE_BYTES, _TAG_BYTES = 16, 16


def totp_step(secret: str, typed: str, moment: datetime) -> int | None:
    """The step of RFC 6238 whose code this is: the present one, or one beside it, for clocks that
    differ. Compared in constant time."""
    code = "".join(str(int(c)) for c in typed if c.isdecimal())
    present = int(moment.timestamp()) // STEP_SECONDS
    made_of = pyotp.TOTP(secret, interval=STEP_SECONDS)
    found = None
    for step in (present - 1, present, present + 1):
        if hmac.compare_digest(made_of.generate_otp(step), code):
            found = step
    return found


def provisioning_uri(secret: str, label: str, issuer: str) -> str:
    """What an authenticator app reads from the QR code."""
    return str(
        pyotp.TOTP(secret, interval=STEP_SECONDS).provisioning_uri(name=label, issuer_name=issuer)
    )


def new_totp_secret() -> str:
    """160 random bits in base32."""
    return str(pyotp.random_base32())


def new_recovery_code() -> str:
    """60 random bits."""
    return codes.new_code(RECOVERY_CHARACTERS)


def recovery_hash(typed: str) -> str | None:
    """What is stored of a recovery code; None for what can't be one."""
    stored = codes.normalised(typed, RECOVERY_CHARACTERS)
    return hashlib.sha256(stored.encode()).hexdigest() if stored else None


def _sealing_key(key: str) -> bytes:
    return hashlib.sha256(b"second factor:" + key.encode()).digest()


def seal(secret: str, key: str) -> str:
    """AES-256-GCM, in base64."""
    cipher = AES.new(_sealing_key(key), AES.MODE_GCM, nonce=secrets.token_bytes(_NONCE_BYTES))
    sealed, tag = cipher.encrypt_and_digest(secret.encode())
    whole: bytes = cipher.nonce + tag + sealed
    return base64.b64encode(whole).decode()


def unseal(sealed: str, key: str) -> str:
    """ValueError when it was sealed with another key, or changed."""
    raw = base64.b64decode(sealed)
    nonce, tag = raw[:_NONCE_BYTES], raw[_NONCE_BYTES : _NONCE_BYTES + _TAG_BYTES]
    cipher = AES.new(_sealing_key(key), AES.MODE_GCM, nonce=nonce)
    opened: bytes = cipher.decrypt_and_verify(raw[_NONCE_BYTES + _TAG_BYTES :], tag)
    return opened.decode()


# ---- what Telegram signs ----------------------------------------------------------------------

_PUBLIC_KEY = bytes.fromhex("e7bf03a2fa4602af4580703d88dda5bb59f32ed8b02a56c187fe7d34caed242d")
"""Telegram's, of production (core.telegram.org/bots/webapps, third-party validation)."""


def _pairs(text: str) -> dict[str, str]:
    """Each value decoded once; a key that stands twice makes it worthless."""
    try:
        pairs = parse_qsl(text, keep_blank_values=True, strict_parsing=True, errors="strict")
    except ValueError:
        raise InitDataInvalid from None
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise InitDataInvalid
    return fields


def _check_string(fields: Mapping[str, str], *left_out: str) -> bytes:
    lines = (f"{name}={fields[name]}" for name in sorted(fields) if name not in left_out)
    return "\n".join(lines).encode()


def _check_hmac(fields: Mapping[str, str], key: bytes) -> str:
    """Over all but `hash`; `signature` is among them (facts.md ii)."""
    right = hmac.new(key, _check_string(fields, "hash"), hashlib.sha256).hexdigest()
    given = fields.get("hash", "")
    if not hmac.compare_digest(given.encode("utf-8", "replace"), right.encode()):
        raise InitDataInvalid
    return right


def read_init_data(text: str, token: str) -> TelegramProfile:
    """Who sends it, by the bot's own token: HMAC-SHA256 with the key HMAC("WebAppData", token).
    InitDataInvalid."""
    fields = _pairs(text)
    key = hmac.new(b"WebAppData", token.encode(), hashlib.sha256).digest()
    return _profile_of(fields, _check_hmac(fields, key))


def read_init_data_of(text: str, bot_id: int, public_key: bytes = _PUBLIC_KEY) -> TelegramProfile:
    """The same without the token, by Telegram's own Ed25519 signature for a bot: the form for third
    parties. InitDataInvalid."""
    fields = _pairs(text)
    told = f"{bot_id}:WebAppData\n".encode() + _check_string(fields, "hash", "signature")
    given = fields.get("signature", "")
    try:
        signature = base64.urlsafe_b64decode(given + "=" * (-len(given) % 4))
        eddsa.new(eddsa.import_public_key(public_key), "rfc8032").verify(told, signature)
    except ValueError:
        raise InitDataInvalid from None
    return _profile_of(fields, given)


def read_widget(fields: Mapping[str, str], token: str) -> TelegramProfile:
    """Who signed in by the Login Widget: HMAC-SHA256 with the key SHA-256(token).
    InitDataInvalid."""
    proof = _check_hmac(fields, hashlib.sha256(token.encode()).digest())
    return _profile(fields, fields.get("auth_date"), proof)


def _profile_of(fields: Mapping[str, str], proof: str) -> TelegramProfile:
    try:
        user = json.loads(fields["user"])
    except (KeyError, ValueError, RecursionError):
        raise InitDataInvalid from None
    return _profile(user, fields.get("auth_date"), proof)


def _profile(user: Any, auth_date: str | None, proof: str) -> TelegramProfile:
    try:
        telegram_id = int(user["id"])
        signed_at = datetime.fromtimestamp(int(auth_date or ""), UTC)
        name = str(user.get("first_name") or "")
        if not 1 <= telegram_id <= MAX_TELEGRAM_ID:
            raise ValueError(telegram_id)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, OSError):
        raise InitDataInvalid from None
    return TelegramProfile(
        telegram_id=telegram_id,
        first_name=name[:64],
        username=str(user["username"])[:32] if user.get("username") else None,
        language_code=str(user["language_code"])[:8] if user.get("language_code") else None,
        signed_at=signed_at,
        proof=proof,
    )
