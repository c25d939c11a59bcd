"""Deciding, once."""

from __future__ import annotations

import uuid

from sqlalchemy import update

from manga_backend.kernel.approvals import queries
from manga_backend.kernel.approvals.errors import (
    AlreadyApproved,
    AlreadyRejected,
    ApprovalNotFound,
    OptionDiffers,
    OptionGone,
    SecondAdminNeeded,
)
from manga_backend.kernel.approvals.events import QuestionDecided
from manga_backend.kernel.approvals.messages import (
    DECIDED,
    KIND,
    LOG_LINE,
    subject_key,
)
from manga_backend.kernel.approvals.models import Approval
from manga_backend.kernel.approvals.service.asking import (
    first_choice,
    look,
    refresh_question,
    see,
    subjects,
    written,
)
from manga_backend.kernel.approvals.types import Decision, State
from manga_backend.kernel.backoffice.service import record_audit
from manga_backend.kernel.backoffice.types import Actor
from manga_backend.kernel.notifications.queries import list_told
from manga_backend.kernel.notifications.service.edits import supersede_edits
from manga_backend.kernel.notifications.service.outbox import (
    edit_message,
    notify_log_channel,
)
from manga_backend.kernel.telegram.types import Message
from manga_backend.kit import clock
from manga_backend.kit.db import session
from manga_backend.kit.events import publish
from manga_backend.kit.settings import CoreSettings, settings


def decide(
    approval_id: uuid.UUID,
    decision: Decision,
    actor: Actor,
    reason: str | None = None,
    *,
    option: str | None = None,
) -> Approval:
    """The one decision. The state, what follows from it, the edits of all admins' messages, the log
    channel's line and the audit row are one transaction.

    The first wins by a conditional UPDATE; all others get AlreadyApproved or AlreadyRejected with
    the name of whoever decided. What two must approve stays pending after the first of them, and
    SecondAdminNeeded if it is the same again. ApprovalNotFound for an unknown id. `option` is the
    key of another way to approve; OptionGone when it is not offered any more, OptionDiffers when
    the first of two approved in another way. Publishes QuestionDecided.
    """
    state = State.APPROVED if decision is Decision.APPROVE else State.REJECTED
    current = session()
    if decision is Decision.APPROVE and _is_first_of_two(approval_id, actor, option):
        return queries.get_approval(approval_id)
    done = current.execute(
        update(Approval)
        .where(Approval.id == approval_id, Approval.state == State.PENDING)
        .values(
            state=state,
            decided_at=clock.now(),
            decided_by=actor.key,
            decided_by_label=actor.label,
            reason=reason,
        )
        .execution_options(synchronize_session=False)
    )
    approval = queries.find_approval(approval_id)
    if approval is None:
        raise ApprovalNotFound
    current.refresh(approval)
    if not done.rowcount:  # type: ignore[attr-defined]
        refusal = AlreadyApproved if approval.state is State.APPROVED else AlreadyRejected
        raise refusal(who=approval.decided_by_label)
    subject = subjects[approval.kind]
    if decision is Decision.APPROVE:
        _check_option(approval, option)
        subject.approve(approval.subject_id, actor, option)
    else:
        subject.reject(approval.subject_id, actor, reason)
    _tell_admins(approval)
    waited = clock.now() - approval.created_at
    publish(QuestionDecided(kind=approval.kind, waited_seconds=int(waited.total_seconds())))
    record_audit(
        actor,
        f"{approval.kind}.{state.value}",
        approval.kind,
        approval.subject_id,
        before={"state": State.PENDING.value},
        after={"state": state.value, "reason": reason} | ({"option": option} if option else {}),
    )
    return approval


def approve_if_clear(approval_id: uuid.UUID, actor: Actor) -> bool:
    """Approve a question that nothing speaks against; False for one that was decided meanwhile, or
    is not clear any more. A transaction for each: the audit log is locked until it ends."""
    approval = queries.lock_pending(approval_id)
    if approval is None or not look(approval).is_clear:
        return False
    decide(approval_id, Decision.APPROVE, actor)
    return True


def _check_option(approval: Approval, option: str | None) -> None:
    if option is None:
        return
    offered = look(approval).option
    if offered is None or offered.key != option:
        raise OptionGone


def _is_first_of_two(approval_id: uuid.UUID, actor: Actor, option: str | None) -> bool:
    """Note the first approval of what needs two. Of two at once the row's lock makes one the first.

    SecondAdminNeeded for the same admin again, OptionDiffers for another who means something else.
    """
    approval = queries.lock_pending(approval_id)
    if approval is None or not subjects[approval.kind].needs_two(approval.subject_id):
        return False
    if approval.first_by is not None:
        if approval.first_by == actor.key:
            raise SecondAdminNeeded
        if approval.first_option != option:
            raise OptionDiffers(
                who=approval.first_by_label, what=first_choice(approval, look(approval).option)
            )
        return False
    _check_option(approval, option)
    approval.first_by, approval.first_by_label = actor.key, actor.label
    approval.first_option = option
    session().flush()
    record_audit(
        actor,
        f"{approval.kind}.approved_first",
        approval.kind,
        approval.subject_id,
        after={"needs": "a second admin"} | ({"option": option} if option else {}),
    )
    refresh_question(approval.kind, approval.subject_id)
    return True


def _tell_admins(approval: Approval) -> None:
    """Every admin's message shows the decision, by whom and when; the buttons go."""
    default = settings(CoreSettings).default_language
    told = list_told(subject_key(approval.id))
    supersede_edits([row.id for row in told])
    sight = see(approval)
    texts = {
        language: written(DECIDED, approval, sight, language)
        for language in {row.language or default for row in told}
    }
    for row in told:
        edit_message(row, Message(texts[row.language or default]))
    notify_log_channel(Message(written(LOG_LINE, approval, sight, default)), kind=KIND)
