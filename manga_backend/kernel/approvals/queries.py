"""Reads of the desk."""

from __future__ import annotations

import uuid

from sqlalchemy import func, select

from manga_backend.kernel.approvals.models import Approval
from manga_backend.kernel.approvals.types import State
from manga_backend.kit.db import session

DESK_SIZE = 50


def find_approval(approval_id: uuid.UUID) -> Approval | None:
    """By id."""
    return session().get(Approval, approval_id)


def list_pending(limit: int = DESK_SIZE) -> list[Approval]:
    """Undecided questions, the longest waiting first."""
    return list(
        session().scalars(
            select(Approval)
            .where(Approval.state == State.PENDING)
            .order_by(Approval.id)
            .limit(limit)
        )
    )


def count_pending() -> int:
    """How many wait."""
    return (
        session().scalar(
            select(func.count()).select_from(Approval).where(Approval.state == State.PENDING)
        )
        or 0
    )
