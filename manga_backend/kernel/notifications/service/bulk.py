"""Many messages about one subject: queued in pieces, held, let go, cancelled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, insert, select, update

from manga_backend.kernel.notifications.domain import plain_text
from manga_backend.kernel.notifications.models import Notification
from manga_backend.kernel.notifications.queries import WAITING
from manga_backend.kernel.notifications.service.outbox import DELIVER
from manga_backend.kernel.notifications.types import Channel, Contact, Priority, Status
from manga_backend.kernel.telegram.settings import TelegramSettings
from manga_backend.kit import clock
from manga_backend.kit.db import session
from manga_backend.kit.jobs import wake
from manga_backend.kit.settings import settings


@dataclass(frozen=True, slots=True)
class BulkMessage:
    """One recipient's text, Telegram HTML in their language."""

    contact: Contact
    text: str


def queue_bulk(messages: Sequence[BulkMessage], *, kind: str, subject: str) -> None:
    """Put each message into its user's inbox and, where a chat is known, into the slowest lane.

    One INSERT for all; what is queued twice is sent twice, so the caller keeps a cursor in the same
    transaction.
    """
    now = clock.now()
    telegram = settings(TelegramSettings).enabled
    rows: list[dict[str, Any]] = []
    for message in messages:
        contact = message.contact
        common = {
            "kind": kind,
            "subject": subject,
            "user_id": contact.user_id,
            "language": contact.language,
            "priority": Priority.BULK,
            "attempts": 0,
            "due_at": now,
            "created_at": now,
        }
        inbox = plain_text(message.text)
        rows.append(
            common
            | {
                "channel": Channel.IN_APP,
                "chat_id": None,
                "text": inbox,
                "status": Status.SENT,
                "sent_at": now,
            }
        )
        if telegram and contact.chat_id is not None:
            rows.append(
                common
                | {
                    "channel": Channel.TELEGRAM,
                    "chat_id": contact.chat_id,
                    "text": message.text,
                    "status": Status.NEW,
                    "sent_at": None,
                }
            )
    if rows:
        # Without it rows with and without a chat would be statements of their own.
        session().execute(insert(Notification).execution_options(render_nulls=True), rows)
        wake(DELIVER)


def hold(subject: str) -> None:
    """Keep what still waits from leaving; messages in flight leave. May run twice."""
    _move(subject, WAITING, Status.HELD)


def release(subject: str) -> None:
    """Let go what was held. May run twice."""
    _move(subject, (Status.HELD,), Status.NEW)
    wake(DELIVER)


def cancel(subject: str) -> None:
    """What has not left never will, and its copy goes from the inbox if nobody has read it;
    messages in flight leave. May run twice."""
    _move(subject, (*WAITING, Status.HELD), Status.CANCELLED)
    withdrawn = select(Notification.user_id).where(
        Notification.subject == subject, Notification.status == Status.CANCELLED
    )
    session().execute(
        delete(Notification).where(
            Notification.subject == subject,
            Notification.channel == Channel.IN_APP,
            Notification.read_at.is_(None),
            Notification.user_id.in_(withdrawn),
        )
    )


def _move(subject: str, before: tuple[Status, ...], after: Status) -> None:
    session().execute(
        update(Notification)
        .where(
            Notification.subject == subject,
            Notification.channel == Channel.TELEGRAM,
            Notification.status.in_(before),
        )
        .values(status=after)
    )
