"""Passwords, salts and codes: values in, values out."""

from __future__ import annotations

import hashlib
import re
import secrets
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

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
