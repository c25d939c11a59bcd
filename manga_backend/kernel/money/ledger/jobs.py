"""The proof of the book, by schedule, and what readiness says of it."""

from __future__ import annotations

from manga_backend.kernel.money.ledger.queries import Finding, prove
from manga_backend.kernel.operations.types import Check
from manga_backend.kit.db import one_snapshot, transaction
from manga_backend.kit.jobs import last_error_of

CHECK = "ledger.check"


class LedgerBroken(Exception):
    """The book does not add up. Raised so that admins hear of it and readiness turns red."""

    def __init__(self, findings: list[Finding]) -> None:
        shown = "; ".join(f"{one.where}: {one.what}" for one in findings[:5])
        super().__init__(f"{len(findings)} findings: {shown}")


def check() -> None:
    """LedgerBroken when the sums of all transfers are not what the accounts say."""
    with transaction():
        one_snapshot()
        proof = prove()
    if not proof.holds:
        raise LedgerBroken(proof.findings)


def readiness() -> Check:
    """Red from a failed proof until one holds again."""
    error = last_error_of(CHECK)
    return Check(True, "adds up") if error is None else Check(False, f"the proof failed: {error}")


def list_findings() -> list[str]:
    """What does not add up, in words; in a transaction that sees one state of the database."""
    return [f"{one.where}: {one.what}" for one in prove().findings]
