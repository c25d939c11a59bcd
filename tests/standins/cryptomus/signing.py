"""JSON as PHP writes it, and Cryptomus' signature over it.

Sources: doc.cryptomus.com, "Request format" and "Webhook". A request is signed over the bytes that
were sent; a webhook over json_encode(body without sign, JSON_UNESCAPED_UNICODE).
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping


class Number(str):
    """A number that is written into JSON as it stands here, such as `1.0e-5` or `207.00`."""

    __slots__ = ()


def php_json(value: object) -> str:
    """json_encode(value, JSON_UNESCAPED_UNICODE), with keys in the order that they have.

    Slashes are escaped, and the two line separators of Unicode too (php.net/json.constants). A
    float is refused: how PHP would write it is for the caller to say, with `Number`.
    """
    if isinstance(value, Number):
        return str(value)
    if isinstance(value, Mapping):
        pairs = [f"{php_json(str(key))}:{php_json(item)}" for key, item in value.items()]
        return f"{{{','.join(pairs)}}}"
    if isinstance(value, list | tuple):
        return f"[{','.join([php_json(item) for item in value])}]"
    if isinstance(value, float):
        raise TypeError(f"write {value} as Number")
    written = json.dumps(value, ensure_ascii=False).replace("/", "\\/")
    return written.replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def signature(content: bytes, key: str) -> str:
    return hashlib.md5(base64.b64encode(content) + key.encode()).hexdigest()


def signed_body(
    fields: Mapping[str, object],
    key: str,
    *,
    sign: str | None = None,
    escape_unicode: bool = False,
) -> bytes:
    """A webhook's body; `sign` instead of the right signature, which is last of the keys.

    `escape_unicode`: the body leaves with \\uXXXX for what isn't ASCII and is signed without, as
    a sender does that signs by the documents and posts by json_encode's defaults.
    """
    unsigned = {name: value for name, value in fields.items() if name != "sign"}
    right = signature(php_json(unsigned).encode(), key)
    written = php_json({**unsigned, "sign": right if sign is None else sign})
    if escape_unicode:
        # A character outside the BMP becomes two escapes there and here.
        written = "".join([c if c.isascii() else json.dumps(c)[1:-1] for c in written])
    return written.encode()
