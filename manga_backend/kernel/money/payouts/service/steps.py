"""The only way in which a payout changes its status, with what that means for the book."""

from __future__ import annotations

from manga_backend.kernel.identity.queries import get_contact
from manga_backend.kernel.money.ledger import service as ledger
from manga_backend.kernel.money.payouts import messages
from manga_backend.kernel.money.payouts.errors import PayoutMovedOn
from manga_backend.kernel.money.payouts.models import (
    FINAL,
    PAYOUT_STEPS,
    Payout,
    PayoutHistory,
)
from manga_backend.kernel.money.payouts.types import PayoutStatus
from manga_backend.kernel.notifications.service.outbox import notify_log_channel, notify_user
from manga_backend.kernel.notifications.types import Priority
from manga_backend.kernel.telegram.types import Message
from manga_backend.kit import clock
from manga_backend.kit.db import session
from manga_backend.kit.i18n import render

KIND = "payout"
_TOLD = {
    PayoutStatus.PAID: messages.PAID,
    PayoutStatus.FAILED: messages.FAILED,
    PayoutStatus.CANCELLED: messages.CANCELLED,
}


def move(payout: Payout, to: PayoutStatus, actor: str, reason: str | None = None) -> None:
    """One allowed step of a payout that the caller has locked; PayoutMovedOn for all else.

    Paid posts its transfer; failed and cancelled give the money back. Each of the three tells the
    user, and the log channel.
    """
    before = payout.status
    if to not in PAYOUT_STEPS.get(before, frozenset()):
        raise PayoutMovedOn
    payout.status = to
    if to in FINAL:
        payout.finished_at = clock.now()
        payout.ask_at = None
        payout.reason = reason
    note_step(payout, before, to, actor, reason)
    if to is PayoutStatus.PAID:
        ledger.post(payout.key)
    elif to in FINAL:
        ledger.void(payout.key)
    if to in FINAL:
        _tell(payout, _TOLD[to])


def note_step(
    payout: Payout,
    before: PayoutStatus | None,
    to: PayoutStatus,
    actor: str,
    reason: str | None = None,
) -> None:
    """A history row for a step that was just taken."""
    session().add(
        PayoutHistory(
            payout_id=payout.id,
            from_status=before.value if before else None,
            to_status=to.value,
            actor=actor,
            reason=reason,
            at=clock.now(),
        )
    )
    session().flush()


def _tell(payout: Payout, template: str) -> None:
    contact = get_contact(payout.user_id)
    text = render(template, contact.language, payout=payout)
    notify_user(
        contact,
        Message(text),
        kind=f"payout_{payout.status.value}",
        subject=payout.key,
        priority=Priority.DECISION,
    )
    line = render(messages.ENDED_LOG, None, payout=payout)
    notify_log_channel(Message(line), kind=KIND, subject=payout.key)
