"""Filing questions, asking them again, and deciding them, once."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from markupsafe import Markup
from sqlalchemy import update
from sqlalchemy.exc import SQLAlchemyError

from manga_backend.kernel.approvals import queries
from manga_backend.kernel.approvals.errors import (
    AlreadyApproved,
    AlreadyRejected,
    ApprovalNotFound,
    SecondAdminNeeded,
)
from manga_backend.kernel.approvals.messages import (
    DECIDED,
    KIND,
    LOG_LINE,
    QUESTION,
    QUESTION_AGAIN,
    subject_key,
)
from manga_backend.kernel.approvals.models import Approval
from manga_backend.kernel.approvals.settings import ApprovalSettings
from manga_backend.kernel.approvals.types import Decision, Fact, Question, State, Subject
from manga_backend.kernel.backoffice.service import record_audit
from manga_backend.kernel.backoffice.types import Actor
from manga_backend.kernel.identity.queries import (
    languages_of,
    list_telegram_admins,
)
from manga_backend.kernel.notifications.queries import WAITING, list_told, list_with_buttons
from manga_backend.kernel.notifications.service.edits import edit_anew, supersede_edits
from manga_backend.kernel.notifications.service.outbox import (
    edit_message,
    notify_chat,
    notify_log_channel,
)
from manga_backend.kernel.notifications.types import Priority
from manga_backend.kernel.telegram.events import PollerReturned
from manga_backend.kernel.telegram.settings import TelegramSettings
from manga_backend.kernel.telegram.types import Button, Message
from manga_backend.kit import clock
from manga_backend.kit.db import session
from manga_backend.kit.i18n import gettext, in_language, render
from manga_backend.kit.registry import Registry
from manga_backend.kit.settings import CoreSettings, settings

log = logging.getLogger(__name__)

CLICK_LIVES = timedelta(seconds=150)
"""How long Telegram keeps a click for a poller that is away (facts.md i)."""
ASKED_AFTER_ABSENCE = 50

subjects: Registry[Subject] = Registry("approvals.subjects")


def file_approval(kind: str, subject_id: str) -> Approval:
    """Ask all admins, on Telegram and at the desk, in the running transaction.

    One question per (kind, subject): filing it twice violates a unique constraint.
    """
    approval = Approval(kind=kind, subject_id=subject_id, created_at=clock.now())
    session().add(approval)
    session().flush()
    _ask(approval, admin_chats(), QUESTION)
    return approval


def _ask(approval: Approval, chats: Mapping[int, str], template: str) -> None:
    messages = {
        language: question_message(approval, language, template) for language in set(chats.values())
    }
    for chat_id, language in chats.items():
        notify_chat(
            chat_id,
            messages[language],
            kind=KIND,
            subject=subject_key(approval.id),
            priority=Priority.DECISION,
            language=language,
        )


def admin_chats() -> dict[int, str]:
    """Each admin's chat and language: TELEGRAM_ADMIN_IDS and verified accounts of role admin."""
    default = settings(CoreSettings).default_language
    listed = list(settings(TelegramSettings).admin_ids)
    known = languages_of(listed) if listed else {}
    chats = {chat_id: known.get(chat_id) or default for chat_id in listed}
    for user in list_telegram_admins():
        if user.telegram_id is not None:
            chats.setdefault(user.telegram_id, user.language or default)
    return chats


def notify_admins(template: str, kind: str, *, subject: str | None = None, **facts: Any) -> None:
    """Tell every admin in their language, and the log channel in the default one."""
    for chat_id, language in admin_chats().items():
        notify_chat(
            chat_id,
            Message(render(template, language, **facts)),
            kind=kind,
            subject=subject,
            priority=Priority.DECISION,
            language=language,
        )
    notify_log_channel(Message(render(template, None, **facts)), kind=kind, subject=subject)


def question_message(approval: Approval, language: str, template: str = QUESTION) -> Message:
    """The question with its two buttons, in one language."""
    key = approval.id.hex
    with in_language(language):
        buttons = [
            Button(gettext("✅ Approve"), data=f"{Decision.APPROVE.value}:{key}"),
            Button(gettext("❌ Reject"), data=f"{Decision.REJECT.value}:{key}"),
        ]
    return Message(_written(template, approval, language), [buttons])


def _written(template: str, approval: Approval, language: str) -> str:
    with in_language(language):
        question = described(approval)
        return render(template, language, question=question, approval=approval)


def described(approval: Approval) -> Question:
    """What is asked, with who approved it already where two must, in the language of the moment."""
    question = subjects[approval.kind].describe(approval.subject_id)
    if approval.first_by_label is None or approval.state is not State.PENDING:
        return question
    words = gettext("✅ %(name)s; another admin must approve as well", name=approval.first_by_label)
    return Question(question.title, [*question.facts, Fact(gettext("Approved by"), words)])


def remind_admins(limit: int) -> int:
    """Ask all admins again what nobody has decided for the time that the settings say; returns how
    many questions were taken in hand, at most `limit`.

    Locks the questions and notes when they were asked: run twice or at once, each is asked once.
    """
    remind_after = settings(ApprovalSettings).remind_after
    if not remind_after:
        return 0
    waiting = queries.lock_unasked_since(clock.now() - remind_after, known_kinds(), limit)
    for approval in waiting:
        _ask_again_or_log(approval)
    return len(waiting)


def ask_again_after_absence(_returned: PollerReturned) -> None:
    """Nobody read the clicks of a while, and Telegram forgot them: ask all that waits, the oldest
    first, up to 50. What has got fresh buttons within the life of a click is left alone."""
    before = clock.now() - CLICK_LIVES
    for approval in queries.lock_unasked_since(before, known_kinds(), ASKED_AFTER_ABSENCE):
        _ask_again_or_log(approval)


def known_kinds() -> list[str]:
    """Those of products that are switched on: the others can't be described."""
    return [kind for kind, _subject in subjects.items()]


def _ask_again_or_log(approval: Approval) -> None:
    """One question that can't be put into words must not keep the others from being asked."""
    try:
        with session().begin_nested():
            _ask_again(approval)
    except SQLAlchemyError:
        raise
    except Exception:
        log.exception("the question %s could not be asked again", approval.id)


def _ask_again(approval: Approval) -> None:
    """Fresh buttons for every admin; the messages before lose theirs.

    An admin whose last message still waits to leave is not asked again: it comes with buttons that
    work. While that is so for all, the reminder does not count.
    """
    bearing = list_with_buttons(subject_key(approval.id))
    on_their_way = {row.chat_id for row in bearing if row.status in WAITING}
    chats = {c: language for c, language in admin_chats().items() if c not in on_their_way}
    approval.asked_at = clock.now()
    if chats:
        approval.reminders += 1
    session().flush()
    for row in bearing:
        if row.status not in WAITING:
            with in_language(row.language):
                below = Markup("<i>{}</i>").format(gettext("Asked again below."))
            edit_message(row, Message(f"{row.text}\n\n{below}"))
    _ask(approval, chats, QUESTION_AGAIN)


def refresh_question(kind: str, subject_id: str) -> None:
    """Show every admin what has come to be known of an undecided question, in the messages that
    they have; the buttons stay. Nothing once it is decided."""
    approval = queries.find_pending_about(kind, subject_id)
    if approval is None:
        return
    default = settings(CoreSettings).default_language
    bearing = list_with_buttons(subject_key(approval.id))
    messages = {
        language: question_message(approval, language)
        for language in {row.language or default for row in bearing}
    }
    for row in bearing:
        edit_anew(row, messages[row.language or default])


def send_pending(chat_id: int, language: str, limit: int) -> int:
    """Send one admin the questions that wait longest, with buttons; returns how many were sent.

    It counts as no reminder, and the messages before keep their buttons.
    """
    waiting = queries.list_pending(limit, known_kinds())
    for approval in waiting:
        _ask(approval, {chat_id: language}, QUESTION_AGAIN)
    return len(waiting)


def decide(
    approval_id: uuid.UUID, decision: Decision, actor: Actor, reason: str | None = None
) -> Approval:
    """The one decision. The state, what follows from it, the edits of all admins' messages, the log
    channel's line and the audit row are one transaction.

    The first wins by a conditional UPDATE; all others get AlreadyApproved or AlreadyRejected with
    the name of whoever decided. What two must approve stays pending after the first of them, and
    SecondAdminNeeded if it is the same again. ApprovalNotFound for an unknown id.
    """
    state = State.APPROVED if decision is Decision.APPROVE else State.REJECTED
    current = session()
    if decision is Decision.APPROVE and _is_first_of_two(approval_id, actor):
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
    )
    approval = queries.find_approval(approval_id)
    if approval is None:
        raise ApprovalNotFound
    if not done.rowcount:  # type: ignore[attr-defined]
        refusal = AlreadyApproved if approval.state is State.APPROVED else AlreadyRejected
        raise refusal(who=approval.decided_by_label)
    current.refresh(approval)
    subject = subjects[approval.kind]
    if decision is Decision.APPROVE:
        subject.approve(approval.subject_id, actor)
    else:
        subject.reject(approval.subject_id, actor, reason)
    _tell_admins(approval)
    record_audit(
        actor,
        f"{approval.kind}.{state.value}",
        approval.kind,
        approval.subject_id,
        before={"state": State.PENDING.value},
        after={"state": state.value, "reason": reason},
    )
    return approval


def _is_first_of_two(approval_id: uuid.UUID, actor: Actor) -> bool:
    """Note the first approval of what needs two. Of two at once the row's lock makes one the first.

    SecondAdminNeeded for the same admin again.
    """
    approval = queries.lock_pending(approval_id)
    if approval is None or not subjects[approval.kind].needs_two(approval.subject_id):
        return False
    if approval.first_by is not None:
        if approval.first_by == actor.key:
            raise SecondAdminNeeded
        return False
    approval.first_by, approval.first_by_label = actor.key, actor.label
    session().flush()
    record_audit(
        actor,
        f"{approval.kind}.approved_first",
        approval.kind,
        approval.subject_id,
        after={"needs": "a second admin"},
    )
    refresh_question(approval.kind, approval.subject_id)
    return True


def _tell_admins(approval: Approval) -> None:
    """Every admin's message shows the decision, by whom and when; the buttons go."""
    default = settings(CoreSettings).default_language
    told = list_told(subject_key(approval.id))
    supersede_edits([row.id for row in told])
    texts = {
        language: _written(DECIDED, approval, language)
        for language in {row.language or default for row in told}
    }
    for row in told:
        edit_message(row, Message(texts[row.language or default]))
    notify_log_channel(Message(_written(LOG_LINE, approval, default)), kind=KIND)
