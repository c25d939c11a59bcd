"""Many messages about one subject: queued in pieces, held, let go, cancelled."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import ColumnElement, Select, Text, case, delete, insert, literal, select, update

from manga_backend.kernel.notifications.domain import plain_text
from manga_backend.kernel.notifications.models import Notification
from manga_backend.kernel.notifications.queries import WAITING
from manga_backend.kernel.notifications.service.outbox import DELIVER
from manga_backend.kernel.notifications.types import Channel, Priority, Status
from manga_backend.kernel.telegram.settings import TelegramSettings
from manga_backend.kit import clock
from manga_backend.kit.db import session
from manga_backend.kit.jobs import wake
from manga_backend.kit.settings import settings


def queue_bulk(
    contacts: Select[Any],
    texts: Mapping[str, str],
    default_language: str,
    *,
    kind: str,
    subject: str,
    priority: Priority = Priority.BULK,
) -> None:
    """Put a message into each user's inbox and, where a chat is known, into the slowest lane, or
    another one.

    `contacts` selects user id, chat id and language; `texts` is language → Telegram HTML and has
    the default one. Two INSERT … SELECT: no row passes through Python. What is queued twice is sent
    twice, so the caller keeps a cursor in the same transaction.
    """
    found = contacts.subquery()
    user_id, chat_id, language = found.c
    inbox = {code: plain_text(text) for code, text in texts.items()}
    now = clock.now()
    common: dict[str, Any] = {
        "kind": kind,
        "subject": subject,
        "user_id": user_id,
        "language": language,
        "priority": priority,
        "attempts": 0,
        "due_at": now,
        "created_at": now,
    }
    _insert_from(
        select(found),
        common
        | {
            "channel": Channel.IN_APP,
            "text": _by_language(inbox, language, default_language),
            "status": Status.SENT,
            "sent_at": now,
        },
    )
    if settings(TelegramSettings).enabled:
        _insert_from(
            select(found).where(chat_id.is_not(None)),
            common
            | {
                "channel": Channel.TELEGRAM,
                "chat_id": chat_id,
                "text": _by_language(texts, language, default_language),
                "status": Status.NEW,
            },
        )
        wake(DELIVER)


def _by_language(
    texts: Mapping[str, str], language: ColumnElement[str], default: str
) -> ColumnElement[str]:
    """The text in SQL; the default's for whoever chose no language."""
    otherwise = literal(texts[default], Text)
    whens = [(language == code, literal(t, Text)) for code, t in texts.items() if code != default]
    return case(*whens, else_=otherwise) if len(set(texts.values())) > 1 else otherwise


def _insert_from(rows: Select[Any], values: Mapping[str, Any]) -> None:
    """One row for each of `rows`, which are in the order of the users' ids."""
    table = Notification.__table__.c
    columns = [
        value if isinstance(value, ColumnElement) else literal(value, table[name].type)
        for name, value in values.items()
    ]
    session().execute(
        insert(Notification).from_select(list(values), rows.with_only_columns(*columns))
    )


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
