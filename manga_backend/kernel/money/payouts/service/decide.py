"""Withdrawals as a subject of the desk: described, approved, rejected."""

from __future__ import annotations

import uuid

from manga_backend.kernel.approvals.service.asking import about_user
from manga_backend.kernel.approvals.settings import ApprovalSettings
from manga_backend.kernel.approvals.types import Fact, Question
from manga_backend.kernel.backoffice.types import Actor
from manga_backend.kernel.money.ledger.queries import find_wallet
from manga_backend.kernel.money.payouts import queries
from manga_backend.kernel.money.payouts.errors import PayoutMovedOn
from manga_backend.kernel.money.payouts.models import Payout
from manga_backend.kernel.money.payouts.service.sending import process
from manga_backend.kernel.money.payouts.service.steps import move
from manga_backend.kernel.money.payouts.types import PayoutStatus
from manga_backend.kit.i18n import gettext, local_digits, local_time
from manga_backend.kit.money import decimal_string
from manga_backend.kit.settings import settings


class PayoutSubject:
    """What the desk knows of withdrawals (approvals.types.Subject)."""

    def describe(self, subject_id: str) -> Question:
        """Who wants how much, and where to."""
        payout = queries.get_payout(uuid.UUID(subject_id))
        wallet = find_wallet(payout.user_id, payout.currency)
        paid = queries.count_of_user(payout.user_id, PayoutStatus.PAID)
        facts = [
            *about_user(payout.user_id),
            Fact(gettext("Amount"), _money(payout.amount, payout.currency)),
            Fact(gettext("Network"), payout.network.value),
            Fact(gettext("Address"), payout.address, code=True),
            Fact(gettext("Left in the wallet"), _money(wallet.available, payout.currency)),
            Fact(gettext("Withdrawals so far"), local_digits(str(paid))),
            Fact(gettext("Sent"), local_time(payout.requested_at)),
        ]
        return Question(gettext("Withdrawal"), facts, payout.user_id)

    def needs_two(self, subject_id: str) -> bool:
        """By its amount."""
        payout = queries.get_payout(uuid.UUID(subject_id))
        return settings(ApprovalSettings).needs_two(payout.amount)

    def is_clear(self, subject_id: str) -> bool:
        """Each one is looked at."""
        return False

    def find_option(self, subject_id: str) -> None:
        """There is one way only."""

    def approve(self, subject_id: str, actor: Actor, option: str | None = None) -> None:
        """Let it be sent. PayoutMovedOn when it was decided before."""
        process(_lock(subject_id), actor)

    def reject(self, subject_id: str, actor: Actor, reason: str | None) -> None:
        """The money is free again. PayoutMovedOn when it was decided before."""
        payout = _lock(subject_id)
        payout.decided_by_label = actor.label
        move(payout, PayoutStatus.CANCELLED, actor.key, reason)


def _lock(subject_id: str) -> Payout:
    payout = queries.lock_payout(uuid.UUID(subject_id))
    if payout is None:
        raise PayoutMovedOn
    return payout


def _money(amount: int, currency: str) -> str:
    return f"{decimal_string(amount, currency)} {currency}"
