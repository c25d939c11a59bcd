"""Asking a chain's HTTP API: one JSON request, its faults sorted."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from typing import Any

from manga_backend.kernel.money.chains.errors import SourceAway
from manga_backend.kit.calls import Caller, CallFailed

CONNECT_SECONDS = 3
TOTAL_SECONDS = 10


@cache
def _caller() -> Caller:
    return Caller()


def ask(url: str, body: Any = None, *, headers: Mapping[str, str] | None = None) -> tuple[int, Any]:
    """The status and the JSON of the answer; text that is no JSON comes as text. SourceAway for no
    answer, 429, 403 and 5xx: a node that is busy says nothing about a payment."""
    try:
        answer = _caller().send(
            "GET" if body is None else "POST",
            url,
            body=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json", **(headers or {})},
            connect_seconds=CONNECT_SECONDS,
            total_seconds=TOTAL_SECONDS,
        )
    except CallFailed as failure:
        raise SourceAway(failure.words) from None
    if answer.status in (401, 403, 429) or answer.status >= 500:
        raise SourceAway(f"HTTP {answer.status}", _seconds(answer.headers.get("retry-after")))
    text = answer.body.decode(errors="replace")
    try:
        return answer.status, json.loads(text)
    except ValueError:
        return answer.status, text


def _seconds(text: str | None) -> float | None:
    return float(text) if text and text.isascii() and text.isdecimal() else None


def integer(value: Any) -> int:
    """A number of an answer, decimal or 0x…; SourceAway when it is none."""
    try:
        return int(value, 0) if isinstance(value, str) and value[:2] == "0x" else int(value)
    except (TypeError, ValueError):
        raise SourceAway("a number in the answer can't be read") from None
