"""Cryptomus' signatures (facts.md iii): md5 over base64 of the JSON that PHP would write."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
from typing import Any

_ESCAPED = str.maketrans({"/": "\\/", "\u2028": "\\u2028", "\u2029": "\\u2029"})
"""PHP writes these so even with JSON_UNESCAPED_UNICODE."""


_NUMBER = "\ue000{}\ue001"
_NUMBERS = re.compile('"\ue000([^"]*)\ue001"')
"""A number with a fraction, kept as a text while it is read and written: as a float it might come
out with other digits. The two signs are of Unicode's private area."""


def php_json(value: Any) -> str:
    """As `json_encode($value, JSON_UNESCAPED_UNICODE)`: keys in their order, no blanks."""
    written = json.dumps(value, ensure_ascii=False, separators=(",", ":")).translate(_ESCAPED)
    return _NUMBERS.sub(r"\1", written)


def signature(content: bytes, key: str) -> str:
    """Of a request's body."""
    return hashlib.md5(base64.b64encode(content) + key.encode()).hexdigest()  # noqa: S324  # theirs


def read_signed(body: bytes, key: str) -> dict[str, Any] | None:
    """A webhook's fields without the signature, numbers with a fraction as the text that they
    were written as; None when it is not signed with our key. Compared in constant time."""
    try:
        fields = json.loads(body.decode(), parse_float=_NUMBER.format, parse_constant=str)
    except (ValueError, RecursionError):
        return None
    if not isinstance(fields, dict) or not isinstance(fields.get("sign"), str):
        return None
    given = fields.pop("sign")
    right = signature(php_json(fields).encode("utf-8", "surrogatepass"), key)
    if not hmac.compare_digest(given.encode("utf-8", "surrogatepass"), right.encode()):
        return None
    told: dict[str, Any] = json.loads(body.decode(), parse_float=str, parse_constant=str)
    del told["sign"]
    return told
