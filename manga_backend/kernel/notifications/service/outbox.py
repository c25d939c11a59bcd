"""Writing the outbox, with the change that a message tells of."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import select

from manga_backend.kernel.backoffice.service import record_audit
from manga_backend.kernel.backoffice.types import Actor
from manga_backend.kernel.notifications.domain import plain_text
from manga_backend.kernel.notifications.errors import NothingToRetry
from manga_backend.kernel.notifications.models import Notification
from manga_backend.kernel.notifications.types import Channel, Contact, Letter, Priority, Status
from manga_backend.kernel.telegram.service.chats import note_reachability
from manga_backend.kernel.telegram.settings import TelegramSettings
from manga_backend.kernel.telegram.types import Message, Reachability
from manga_backend.kit import clock
from manga_backend.kit.db import Model, session
from manga_backend.kit.inserts import insert_together
from manga_backend.kit.jobs import wake
from manga_backend.kit.settings import settings

DELIVER = "notifications.deliver"
GIVEN_UP = (Status.DEAD, Status.UNREACHABLE)


def notify_chat(
    chat_id: int,
    message: Message,
    *,
    kind: str,
    subject: str | None = None,
    priority: Priority = Priority.RECEIPT,
    language: str | None = None,
    user_id: int | None = None,
) -> Notification | None:
    """Queue a Telegram message in the running transaction; None while the bot is off."""
    if not settings(TelegramSettings).enabled:
        return None
    letter = Letter(chat_id, message, kind, subject, priority, language, user_id)
    row = _row(letter, clock.now())
    session().add(row)
    session().flush()
    wake(DELIVER)
    return row


def queue(letters: Iterable[Letter], *beside: Model) -> None:
    """Queue Telegram messages in the running transaction, by one statement with other new rows that
    they belong to; without the messages while the bot is off."""
    now = clock.now()
    is_on = settings(TelegramSettings).enabled
    rows = [_row(letter, now) for letter in letters] if is_on else []
    if beside or rows:
        insert_together(*beside, *rows)
    if rows:
        wake(DELIVER)


def _row(letter: Letter, now: datetime) -> Notification:
    return Notification(
        channel=Channel.TELEGRAM,
        kind=letter.kind,
        subject=letter.subject,
        user_id=letter.user_id,
        chat_id=letter.chat_id,
        language=letter.language,
        text=letter.message.text,
        buttons=letter.message.buttons_json(),
        priority=letter.priority,
        status=Status.NEW,
        due_at=now,
        created_at=now,
    )


def notify_user(
    contact: Contact,
    message: Message,
    *,
    kind: str,
    subject: str | None = None,
    priority: Priority = Priority.RECEIPT,
) -> None:
    """Tell a user in the inbox, and on Telegram where an id is known."""
    now = clock.now()
    in_app = Notification(
        channel=Channel.IN_APP,
        kind=kind,
        subject=subject,
        user_id=contact.user_id,
        language=contact.language,
        text=plain_text(message.text),
        priority=priority,
        status=Status.SENT,
        due_at=now,
        created_at=now,
        sent_at=now,
    )
    letters = []
    if contact.chat_id is not None:
        to, whose = contact.chat_id, contact.user_id
        letters.append(Letter(to, message, kind, subject, priority, contact.language, whose))
    queue(letters, in_app)


def notify_log_channel(message: Message, *, kind: str, subject: str | None = None) -> None:
    """A line in the log channel, when one is set."""
    channel = settings(TelegramSettings).log_channel_id
    if channel is not None:
        notify_chat(channel, message, kind=kind, subject=subject)


def edit_message(original: Notification, message: Message) -> None:
    """Queue new text (and buttons) for a message that was, or soon will be, sent."""
    now = clock.now()
    session().add(
        Notification(
            channel=Channel.TELEGRAM,
            kind=original.kind,
            subject=original.subject,
            user_id=original.user_id,
            chat_id=original.chat_id,
            language=original.language,
            text=message.text,
            buttons=message.buttons_json(),
            edits_id=original.id,
            priority=Priority.DECISION,
            status=Status.NEW,
            due_at=now,
            created_at=now,
        )
    )
    session().flush()
    wake(DELIVER)


def retry(notification_id: int, actor: Actor) -> None:
    """Try a given-up message anew, as if it had just been written; NothingToRetry for any other.

    Its recipient counts as unknown again, so that it is really tried. May run twice: the second is
    refused. Audited.
    """
    current = session()
    row = current.scalar(
        select(Notification)
        .where(Notification.id == notification_id, Notification.status.in_(GIVEN_UP))
        .with_for_update()
    )
    if row is None or row.chat_id is None:
        raise NothingToRetry
    before = {"status": row.status.value, "last_error": row.last_error}
    row.status, row.attempts = Status.NEW, 0
    row.due_at = row.created_at = clock.now()
    current.flush()
    note_reachability(row.chat_id, Reachability.UNKNOWN)
    record_audit(actor, "notification.retried", "notification", row.id, before=before)
    wake(DELIVER)
