"""What a check of the deployment says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Check:
    """`vital`: without it no request can be served."""

    ok: bool
    detail: str
    vital: bool = False


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the doctor: `words` say what is, and where it is not in order what to do."""

    ok: bool
    words: str


def fine(words: str) -> Finding:
    """In order."""
    return Finding(True, words)


def fault(words: str) -> Finding:
    """To be seen to."""
    return Finding(False, words)


Checker = Callable[[], Check]

Proof = Callable[[], list[str]]
"""What is wrong with a part of the data, in words; nothing: it holds. Runs in a transaction that
sees one state of the database."""


@dataclass(frozen=True, slots=True)
class Contents:
    """What a database holds: rows by table, and what is wrong with them."""

    revision: str | None
    rows: dict[str, int]
    findings: list[str]


@dataclass(frozen=True, slots=True)
class Backup:
    """A file, and what stood in the database when it was made."""

    file: Path
    created_at: datetime
    size: int
    sha256: str
    contents: Contents


Carry = Callable[[Backup, str, bytes], None]
"""Brings a backup's file to another place, and with it a small file (its name and content). Raises
BackupFailed; may run twice."""
