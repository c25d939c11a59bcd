"""Filing questions and asking them again."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any

from markupsafe import Markup
from sqlalchemy.exc import SQLAlchemyError

from manga_backend.kernel.approvals import queries
from manga_backend.kernel.approvals.messages import (
    KIND,
    QUESTION,
    QUESTION_AGAIN,
    subject_key,
)
from manga_backend.kernel.approvals.models import Approval
from manga_backend.kernel.approvals.settings import ApprovalSettings
from manga_backend.kernel.approvals.types import (
    OPTION,
    Asker,
    Decision,
    Fact,
    Look,
    Option,
    Sight,
    State,
    Subject,
)
from manga_backend.kernel.identity.queries import (
    list_telegram_admins,
)
from manga_backend.kernel.notifications.queries import WAITING, list_with_buttons
from manga_backend.kernel.notifications.service.edits import edit_anew
from manga_backend.kernel.notifications.service.outbox import (
    edit_message,
    notify_log_channel,
    queue,
)
from manga_backend.kernel.notifications.types import Letter, Priority
from manga_backend.kernel.telegram.events import PollerReturned
from manga_backend.kernel.telegram.settings import TelegramSettings
from manga_backend.kernel.telegram.types import Button, Message
from manga_backend.kit import clock
from manga_backend.kit.db import new_id, session
from manga_backend.kit.i18n import gettext, in_language, local_time, render
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
    session().flush()  # what is asked about is read as it stands in the database
    approval = Approval(
        id=new_id(), kind=kind, subject_id=subject_id, state=State.PENDING, created_at=clock.now()
    )
    queue(_letters(approval, admin_chats(), QUESTION), approval)
    return approval


def _ask(approval: Approval, chats: Mapping[int, str], template: str) -> None:
    queue(_letters(approval, chats, template))


def _letters(approval: Approval, chats: Mapping[int, str], template: str) -> list[Letter]:
    sight = see(approval)
    texts = {
        language: question_message(approval, sight, language, template)
        for language in set(chats.values())
    }
    return [
        Letter(
            chat_id,
            texts[language],
            kind=KIND,
            subject=subject_key(approval.id),
            priority=Priority.DECISION,
            language=language,
        )
        for chat_id, language in chats.items()
    ]


def admin_chats() -> dict[int, str]:
    """Each admin's chat and language: TELEGRAM_ADMIN_IDS and verified accounts of role admin."""
    default = settings(CoreSettings).default_language
    listed = settings(TelegramSettings).admin_ids
    known = list_telegram_admins(listed)
    # Those who were listed first: the order in which they are told.
    return {chat_id: known.get(chat_id) or default for chat_id in [*listed, *known]}


def notify_admins(template: str, kind: str, *, subject: str | None = None, **facts: Any) -> None:
    """Tell every admin in their language, and the log channel in the default one."""
    letters = [
        Letter(
            chat_id,
            Message(render(template, language, **facts)),
            kind=kind,
            subject=subject,
            priority=Priority.DECISION,
            language=language,
        )
        for chat_id, language in admin_chats().items()
    ]
    queue(letters)
    notify_log_channel(Message(render(template, None, **facts)), kind=kind, subject=subject)


def question_message(
    approval: Approval, sight: Sight, language: str, template: str = QUESTION
) -> Message:
    """The question with its two buttons, and a third when it may be approved in another way."""
    key = approval.id.hex
    with in_language(language):
        buttons = [
            Button(gettext("✅ Approve"), data=f"{Decision.APPROVE.value}:{key}"),
            Button(gettext("❌ Reject"), data=f"{Decision.REJECT.value}:{key}"),
        ]
        seen = sight()
    rows = [buttons]
    if (option := seen.option) is not None:
        rows.append([Button(f"✅ {option.label}", data=f"{OPTION}:{key}:{option.key}")])
    return Message(_written(template, approval, seen, language), rows)


def written(template: str, approval: Approval, sight: Sight, language: str) -> str:
    """A text about a question, in one language."""
    with in_language(language):
        return _written(template, approval, sight(), language)


def _written(template: str, approval: Approval, seen: Look, language: str) -> str:
    return render(template, language, question=seen.question, approval=approval)


def see(approval: Approval) -> Sight:
    """Read what is known of one question."""
    return look_at([approval])[approval.id]


def look(approval: Approval) -> Look:
    """What is known of one question, in the language of the moment."""
    return see(approval)()


def look_at(approvals: Sequence[Approval]) -> dict[uuid.UUID, Sight]:
    """Read what is known of them, with who approved one already where two must: as many queries for
    many as for one of each kind."""
    found: dict[uuid.UUID, Sight] = {}
    for kind in {approval.kind for approval in approvals}:
        of_kind = {one.subject_id: one for one in approvals if one.kind == kind}
        for subject_id, sight in subjects[kind].look_at(of_kind).items():
            approval = of_kind[subject_id]
            found[approval.id] = partial(_with_first, approval, sight)
    return found


def _with_first(approval: Approval, sight: Sight) -> Look:
    seen = sight()
    if approval.first_by_label is None or approval.state is not State.PENDING:
        return seen
    words = gettext("✅ %(name)s; another admin must approve as well", name=approval.first_by_label)
    if approval.first_option is not None:
        words = f"{words} ({first_choice(approval, seen.option)})"
    facts = [*seen.question.facts, Fact(gettext("Approved by"), words)]
    return replace(seen, question=replace(seen.question, facts=facts))


def first_choice(approval: Approval, option: Option | None) -> str:
    """What the first of two admins approved, in the language of the moment; `option` is what is
    offered now."""
    if approval.first_option is None:
        return gettext("what was asked for")
    return option.label if option and option.key == approval.first_option else "—"


def about_user(user: Asker) -> list[Fact]:
    """Who asks, as admins must know it before they decide."""
    telegram = str(user.telegram_id or "—")
    if user.telegram_id is not None and user.telegram_verified_at is None:
        telegram += " " + gettext("(not verified)")
    facts = [Fact(gettext("Username"), user.label), Fact(gettext("Telegram ID"), telegram)]
    if user.first_name or user.telegram_username:
        at = f"@{user.telegram_username}" if user.telegram_username else ""
        facts.append(Fact(gettext("Name"), f"{user.first_name or ''} {at}".strip()))
    if user.banned_at is not None:
        facts.append(Fact(gettext("Banned"), local_time(user.banned_at)))
    return facts


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
    approval.changed_at = clock.now()
    session().flush()
    default = settings(CoreSettings).default_language
    bearing = list_with_buttons(subject_key(approval.id))
    sight = see(approval)
    messages = {
        language: question_message(approval, sight, language)
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
