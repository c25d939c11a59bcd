"""The hash chain of the audit log, and cells of an export that no spreadsheet runs."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

from manga_backend.kit import clock

GENESIS = "0" * 64


def chain_hash(previous: str, number: int, at: datetime, fields: dict[str, Any]) -> str:
    """SHA-256 over the canonical JSON of a row (sorted keys, UTF-8, microseconds of UTC)."""
    row = {
        "id": number,
        "at": at.isoformat(timespec="microseconds"),
        "previous_hash": previous,
        **fields,
    }
    text = json.dumps(row, sort_keys=True, ensure_ascii=False, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()


_FORMULA = re.compile(r"[\s\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]*[=+\-@\t\r|%＝＋－＠]")
_NUMBER = re.compile(r"[+-]?\d+(?:\.\d+)?", re.ASCII)


def harmless(cell: str) -> str:
    """A text that a spreadsheet takes for text: what would begin a formula gets an apostrophe
    before it (OWASP, CSV injection). Numbers stay as they are."""
    return cell if _NUMBER.fullmatch(cell) or not _FORMULA.match(cell) else f"'{cell}"


def as_cell(value: Any) -> str:
    """A stored value as machines read it: ISO 8601 in UTC, JSON, stored words; nothing for None."""
    if value is None:
        return ""
    if hasattr(value, "astimezone"):
        return clock.isoformat(value)
    if isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False)
    return str(getattr(value, "value", value))


def csv_lines(heads: Iterable[str], rows: Iterable[Iterable[str]], stretch: int) -> Iterator[str]:
    """RFC 4180 with a byte order mark, or Excel takes Persian for Latin-1; `stretch` rows at a
    time. Every cell is harmless."""
    page = io.StringIO()
    writer = csv.writer(page)
    page.write("\ufeff")
    writer.writerow(map(harmless, heads))
    for number, row in enumerate(rows, 1):
        writer.writerow(map(harmless, row))
        if number % stretch == 0:
            yield page.getvalue()
            page.seek(0)
            page.truncate()
    yield page.getvalue()
