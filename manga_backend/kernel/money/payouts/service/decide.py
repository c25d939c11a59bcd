"""Withdrawals as a subject of the desk: described, approved, rejected."""

from __future__ import annotations

import uuid
from collections.abc import Collection
from functools import partial

from manga_backend.kernel.approvals.service.asking import about_user
from manga_backend.kernel.approvals.settings import ApprovalSettings
from manga_backend.kernel.approvals.types import Asker, Fact, Look, Question, Sight
from manga_backend.kernel.backoffice.types import Actor
from manga_backend.kernel.identity.queries import find_users
from manga_backend.kernel.money.ledger.queries import available_of
from manga_backend.kernel.money.payouts import queries
from manga_backend.kernel.money.payouts.errors import PayoutMovedOn
from manga_backend.kernel.money.payouts.models import Payout
from manga_backend.kernel.money.payouts.service.sending import process
from manga_backend.kernel.money.payouts.service.steps import move
from manga_backend.kernel.money.payouts.types import PayoutStatus
from manga_backend.kit.i18n import gettext, local_digits, local_time
from manga_backend.kit.money import Money
from manga_backend.kit.settings import settings


class PayoutSubject:
    """What the desk knows of withdrawals (approvals.types.Subject)."""

    def look_at(self, subject_ids: Collection[str]) -> dict[str, Sight]:
        """Who wants how much, and where to. Each one is looked at by itself."""
        payouts = queries.list_payouts([uuid.UUID(one) for one in subject_ids])
        user_ids = {payout.user_id for payout in payouts}
        users = find_users(user_ids)
        left = available_of(user_ids)
        paid = queries.count_paid(user_ids)
        return {
            str(payout.id): partial(
                _look,
                payout,
                users[payout.user_id],
                left.get((payout.user_id, payout.currency), 0),
                paid.get(payout.user_id, 0),
            )
            for payout in payouts
        }

    def needs_two(self, subject_id: str) -> bool:
        """By its amount."""
        payout = queries.get_payout(uuid.UUID(subject_id))
        return settings(ApprovalSettings).needs_two(payout.amount)

    def approve(self, subject_id: str, actor: Actor, option: str | None = None) -> None:
        """Let it be sent. PayoutMovedOn when it was decided before."""
        process(_lock(subject_id), actor)

    def reject(self, subject_id: str, actor: Actor, reason: str | None) -> None:
        """The money is free again. PayoutMovedOn when it was decided before."""
        payout = _lock(subject_id)
        payout.decided_by_label = actor.label
        move(payout, PayoutStatus.CANCELLED, actor.key, reason)


def _look(payout: Payout, user: Asker, left: int, paid: int) -> Look:
    return Look(_question(payout, user, left, paid))


def _question(payout: Payout, user: Asker, left: int, paid: int) -> Question:
    facts = [
        *about_user(user),
        Fact(gettext("Amount"), payout.money.with_currency),
        Fact(gettext("Network"), payout.network.value),
        Fact(gettext("Address"), payout.address, code=True),
        Fact(gettext("Left in the wallet"), Money(left, payout.currency).with_currency),
        Fact(gettext("Withdrawals so far"), local_digits(str(paid))),
        Fact(gettext("Sent"), local_time(payout.requested_at)),
    ]
    return Question(gettext("Withdrawal"), facts, payout.user_id)


def _lock(subject_id: str) -> Payout:
    payout = queries.lock_payout(uuid.UUID(subject_id))
    if payout is None:
        raise PayoutMovedOn
    return payout
