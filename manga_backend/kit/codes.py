"""Codes that people type: random Crockford base32, read without regard to case and look-alikes."""

from __future__ import annotations

import re
import secrets

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
MAX_TYPED = 64
# Crockford: I and L are read as 1, O as 0.
_LOOKALIKES = str.maketrans("ILO", "110")
_SEPARATORS = re.compile(r"[\s\-\N{HYPHEN}-\N{HORIZONTAL BAR}_]+")


def new_code(length: int) -> str:
    """5 random bits a character, without separators."""
    return "".join(secrets.choice(ALPHABET) for _ in range(length))


def normalised(typed: str, length: int) -> str | None:
    """The stored form of what someone typed; None if it can't be a code of this length."""
    code = _SEPARATORS.sub("", typed[:MAX_TYPED]).upper().translate(_LOOKALIKES)
    return code if len(code) == length and set(code) <= set(ALPHABET) else None


def grouped(code: str) -> str:
    """As people read it: `XXXX-XXXX-XXXX`."""
    return "-".join(code[at : at + 4] for at in range(0, len(code), 4))
