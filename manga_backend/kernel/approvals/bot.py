"""The ✅ and ❌ buttons."""

from __future__ import annotations

import uuid

from manga_backend.kernel.approvals import service
from manga_backend.kernel.approvals.errors import ApprovalNotFound, NotAnAdmin
from manga_backend.kernel.approvals.permissions import DECIDE
from manga_backend.kernel.approvals.types import Decision, State
from manga_backend.kernel.identity.service.telegram import staff_actor
from manga_backend.kernel.telegram.types import Press
from manga_backend.kit.i18n import gettext


def approve(press: Press) -> str:
    """✅"""
    return _decide(press, Decision.APPROVE)


def reject(press: Press) -> str:
    """❌"""
    return _decide(press, Decision.REJECT)


def _decide(press: Press, decision: Decision) -> str:
    actor = staff_actor(press.sender.id, DECIDE)
    if actor is None:
        raise NotAnAdmin
    try:
        approval_id = uuid.UUID(hex=press.argument)
    except ValueError:
        raise ApprovalNotFound from None
    approval = service.decide(approval_id, decision, actor)
    return gettext("Approved.") if approval.state is State.APPROVED else gettext("Rejected.")
