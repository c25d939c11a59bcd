"""The ✅ and ❌ buttons, and /pending."""

from __future__ import annotations

import uuid

from manga_backend.kernel.approvals import queries
from manga_backend.kernel.approvals.errors import ApprovalNotFound, NotAnAdmin
from manga_backend.kernel.approvals.messages import PENDING
from manga_backend.kernel.approvals.permissions import DECIDE
from manga_backend.kernel.approvals.service import asking, deciding
from manga_backend.kernel.approvals.types import Decision, State
from manga_backend.kernel.identity.service.telegram import staff_actor
from manga_backend.kernel.notifications.service.outbox import notify_chat
from manga_backend.kernel.notifications.types import Priority
from manga_backend.kernel.telegram.types import Command, Message, Press
from manga_backend.kit.i18n import gettext, language, render

SENT_AGAIN = 10


def pending(command: Command) -> Message | None:
    """How many questions wait, and then the oldest ones anew, with buttons."""
    total = queries.count_pending()
    if not total:
        return Message(gettext("Nothing is waiting for a decision."))
    text = render(PENDING, language(), total=total, shown=min(total, SENT_AGAIN))
    chat_id = command.sender.id
    notify_chat(chat_id, Message(text), kind="reply", priority=Priority.DECISION)
    asking.send_pending(chat_id, language(), SENT_AGAIN)
    return None


def approve(press: Press) -> str:
    """✅, also in the other way that is offered."""
    return _decide(press, Decision.APPROVE)


def reject(press: Press) -> str:
    """❌"""
    return _decide(press, Decision.REJECT)


def _decide(press: Press, decision: Decision) -> str:
    actor = staff_actor(press.sender.id, DECIDE)
    if actor is None:
        raise NotAnAdmin
    try:
        number, _, option = press.argument.partition(":")
        approval_id = uuid.UUID(hex=number)
    except ValueError:
        raise ApprovalNotFound from None
    approval = deciding.decide(approval_id, decision, actor, option=option or None)
    if approval.state is State.PENDING:
        return gettext("Noted. Another admin must approve it as well.")
    return gettext("Approved.") if approval.state is State.APPROVED else gettext("Rejected.")
