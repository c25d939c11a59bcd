"""Reads of the desk."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterator
from datetime import datetime
from typing import Any

from sqlalchemy import Select, func, select

from manga_backend.kernel.approvals.models import Approval
from manga_backend.kernel.approvals.types import State
from manga_backend.kit import clock
from manga_backend.kit.db import session
from manga_backend.kit.metrics import GaugeMetricFamily, gauge

DESK_SIZE = 50
MAX_REMINDERS = 3


def find_approval(approval_id: uuid.UUID) -> Approval | None:
    """By id."""
    return session().get(Approval, approval_id)


def get_approval(approval_id: uuid.UUID) -> Approval:
    """One that is known to be there."""
    return session().get_one(Approval, approval_id)


def lock_pending(approval_id: uuid.UUID) -> Approval | None:
    """An undecided question, locked."""
    return session().scalar(
        select(Approval)
        .where(Approval.id == approval_id, Approval.state == State.PENDING)
        .with_for_update()
        .execution_options(populate_existing=True)
    )


def find_pending_about(kind: str, subject_id: str) -> Approval | None:
    """The undecided question about one subject."""
    return session().scalar(
        select(Approval).where(
            Approval.kind == kind,
            Approval.subject_id == subject_id,
            Approval.state == State.PENDING,
        )
    )


def _pending(limit: int) -> Select[Any]:
    return (
        select(Approval).where(Approval.state == State.PENDING).order_by(Approval.id).limit(limit)
    )


def list_pending(limit: int = DESK_SIZE, kinds: Collection[str] | None = None) -> list[Approval]:
    """Undecided questions (of some kinds), the longest waiting first."""
    statement = _pending(limit)
    if kinds is not None:
        statement = statement.where(Approval.kind.in_(kinds))
    return list(session().scalars(statement))


def _locked(statement: Select[Any], kinds: Collection[str]) -> list[Approval]:
    return list(
        session().scalars(
            statement.where(Approval.kind.in_(kinds), Approval.reminders < MAX_REMINDERS)
            .with_for_update(skip_locked=True)
            .execution_options(populate_existing=True)
        )
    )


def lock_unasked_since(moment: datetime, kinds: Collection[str], limit: int) -> list[Approval]:
    """Undecided questions filed or last asked before a moment and not asked too often, the longest
    waiting first; locked, and those that others hold are passed over."""
    last_asked = func.coalesce(Approval.asked_at, Approval.created_at)
    return _locked(_pending(limit).where(last_asked <= moment), kinds)


def count_pending() -> int:
    """How many wait."""
    return (
        session().scalar(
            select(func.count()).select_from(Approval).where(Approval.state == State.PENDING)
        )
        or 0
    )


def read_numbers() -> Iterator[GaugeMetricFamily]:
    """For Prometheus: how many questions wait, and since when the oldest."""
    oldest = session().scalar(
        select(func.min(Approval.created_at)).where(Approval.state == State.PENDING)
    )
    age = (clock.now() - oldest).total_seconds() if oldest else 0.0
    yield gauge("approvals_waiting", "Questions that wait for an admin.", [((), count_pending())])
    yield gauge("approvals_oldest_seconds", "Age of the oldest of them.", [((), age)])
