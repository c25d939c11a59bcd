"""Passwords, salts and codes: values in, values out."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
from datetime import datetime
from functools import cache

import pyotp
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from Crypto.Cipher import AES

from manga_backend.kit import codes

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
    return base64.b64encode(cipher.nonce + tag + sealed).decode()


def unseal(sealed: str, key: str) -> str:
    """ValueError when it was sealed with another key, or changed."""
    raw = base64.b64decode(sealed)
    nonce, tag = raw[:_NONCE_BYTES], raw[_NONCE_BYTES : _NONCE_BYTES + _TAG_BYTES]
    cipher = AES.new(_sealing_key(key), AES.MODE_GCM, nonce=nonce)
    return cipher.decrypt_and_verify(raw[_NONCE_BYTES + _TAG_BYTES :], tag).decode()
