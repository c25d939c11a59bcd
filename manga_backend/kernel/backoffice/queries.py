"""Reads of the audit log."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from sqlalchemy import select

from manga_backend.kernel.backoffice.domain import GENESIS, chain_hash
from manga_backend.kernel.backoffice.models import AuditEntry
from manga_backend.kit.db import session

STRETCH = 1000
MOST_BREAKS = 5
HASHED = (
    *("actor", "actor_label", "channel", "address", "action"),
    *("subject_type", "subject_id", "before", "after"),
)
"""The fields of a row that its hash covers, beside its number, its time and the hash before it."""


def walk_chain() -> Iterator[tuple[int, str | None]]:
    """Each row's number with what is wrong with it, in the order of the chain; None: nothing.

    A row that was changed no longer fits its hash; one that was taken out leaves a gap in the
    numbers, and the hash that the next one names is not there.
    """
    expected, previous = 1, GENESIS
    rows = select(AuditEntry).order_by(AuditEntry.id).execution_options(yield_per=STRETCH)
    for row in session().scalars(rows):
        fields = {name: getattr(row, name) for name in HASHED}
        fields["channel"] = row.channel.value
        problem = None
        if row.id != expected:
            problem = f"rows {expected} to {row.id - 1} are missing"
        elif row.previous_hash != previous:
            problem = "it does not follow the row before it"
        elif row.hash != chain_hash(previous, row.id, row.at, fields):
            problem = "it was changed"
        yield row.id, problem
        expected, previous = row.id + 1, row.hash


def find_last_hash() -> str:
    """The end of the chain."""
    newest = select(AuditEntry.hash).order_by(AuditEntry.id.desc()).limit(1)
    return session().scalar(newest) or GENESIS


def list_breaks() -> list[str]:
    """The first places where the chain does not hold, in words."""
    broken = (f"row {number}: {problem}" for number, problem in walk_chain() if problem)
    return list(islice(broken, MOST_BREAKS))
