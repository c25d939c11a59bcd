"""Reads of withdrawals."""

from __future__ import annotations

import uuid
from collections.abc import Collection
from typing import Any

from sqlalchemy import Select, func, or_, select

from manga_backend.kernel.money.ledger.queries import withdrawable
from manga_backend.kernel.money.payouts.errors import PayoutNotFound, WithdrawalsOff
from manga_backend.kernel.money.payouts.models import Payout
from manga_backend.kernel.money.payouts.settings import CURRENCY, PayoutSettings
from manga_backend.kernel.money.payouts.types import Limits, PayoutStatus, Sender
from manga_backend.kit import clock
from manga_backend.kit.db import session
from manga_backend.kit.money import Money
from manga_backend.kit.settings import settings

UNDER_WAY = (PayoutStatus.PENDING, PayoutStatus.PROCESSING)


def get_payout(payout_id: uuid.UUID) -> Payout:
    """As it stands in the database now; PayoutNotFound."""
    found = session().scalar(
        select(Payout).where(Payout.id == payout_id).execution_options(populate_existing=True)
    )
    if found is None:
        raise PayoutNotFound
    return found


def list_payouts(payout_ids: Collection[uuid.UUID]) -> list[Payout]:
    """As they stand in the database now."""
    wanted = select(Payout).where(Payout.id.in_(payout_ids))
    return list(session().scalars(wanted.execution_options(populate_existing=True)))


def count_paid(user_ids: Collection[int]) -> dict[int, int]:
    """User → how many were paid; who has none is not there."""
    rows = session().execute(
        select(Payout.user_id, func.count())
        .where(Payout.user_id.in_(user_ids), Payout.status == PayoutStatus.PAID)
        .group_by(Payout.user_id)
    )
    return {row[0]: row[1] for row in rows}


def get_limits(user_id: int) -> Limits:
    """What a user may withdraw now; WithdrawalsOff."""
    config = settings(PayoutSettings)
    if config.sender is Sender.NONE:
        raise WithdrawalsOff
    amounts = (withdrawable(user_id, CURRENCY), config.least, config.most)
    return Limits(*(Money(amount, CURRENCY) for amount in amounts))


def get_own_payout(user_id: int, payout_id: uuid.UUID) -> Payout:
    """One of this user's; PayoutNotFound for another's as well."""
    found = get_payout(payout_id)
    if found.user_id != user_id:
        raise PayoutNotFound
    return found


def own_payouts(user_id: int) -> Select[Any]:
    """A user's withdrawals, newest first."""
    return select(Payout).where(Payout.user_id == user_id).order_by(Payout.id.desc())


def count_of_user(user_id: int, *statuses: PayoutStatus) -> int:
    """How many of a user's are at one of these."""
    return (
        session().scalar(
            select(func.count())
            .select_from(Payout)
            .where(Payout.user_id == user_id, Payout.status.in_(statuses))
        )
        or 0
    )


def is_any_due() -> bool:
    """Whether the provider is to be asked about one: one cheap statement."""
    due = select(Payout.id).where(
        Payout.status == PayoutStatus.PROCESSING, Payout.ask_at <= clock.now()
    )
    return session().scalar(due.limit(1)) is not None


def lock_due() -> Payout | None:
    """The one that the provider is to be asked about next, locked; what others hold is passed
    over."""
    return session().scalar(
        select(Payout)
        .where(Payout.status == PayoutStatus.PROCESSING, Payout.ask_at <= clock.now())
        .order_by(Payout.ask_at)
        .limit(1)
        .with_for_update(skip_locked=True)
        .execution_options(populate_existing=True)
    )


def count_for_people() -> int:
    """How many an admin has to send by hand, or look at because something is wrong."""
    for_people = or_(Payout.ask_at.is_(None), Payout.problem.is_not(None))
    return (
        session().scalar(
            select(func.count())
            .select_from(Payout)
            .where(Payout.status == PayoutStatus.PROCESSING, for_people)
        )
        or 0
    )


def lock_payout(payout_id: uuid.UUID) -> Payout | None:
    """As it stands now, locked."""
    return session().scalar(
        select(Payout)
        .where(Payout.id == payout_id)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
