"""Coupon codes: 60 random bits in Crockford base32, read as people type them."""

from __future__ import annotations

import re
import secrets

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
LENGTH = 12
MAX_TYPED = 64
# Crockford: I and L are read as 1, O as 0.
_LOOKALIKES = str.maketrans("ILO", "110")
_SEPARATORS = re.compile(r"[\s\-‐-―_]+")


def new_code() -> str:
    """Twelve characters without dashes, as stored."""
    return "".join(secrets.choice(ALPHABET) for _ in range(LENGTH))


def shown(code: str) -> str:
    """`XXXX-XXXX-XXXX`."""
    return "-".join(code[i : i + 4] for i in range(0, LENGTH, 4))


def normalised(typed: str) -> str | None:
    """The stored form of what someone typed; None if it can't be a code."""
    code = _SEPARATORS.sub("", typed[:MAX_TYPED]).upper().translate(_LOOKALIKES)
    return code if len(code) == LENGTH and set(code) <= set(ALPHABET) else None
