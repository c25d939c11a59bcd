"""The hash chain of the audit log: each row's hash covers the row and the hash before it."""

from __future__ import annotations

import hashlib
import json
from datetime import datetime
from typing import Any

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
