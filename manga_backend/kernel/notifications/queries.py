"""Reads of the outbox and the inbox."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import (
    ColumnElement,
    ScalarSelect,
    Select,
    func,
    select,
)
from sqlalchemy.orm import aliased

from manga_backend.kernel.notifications.models import Notification
from manga_backend.kernel.notifications.types import Channel, Status
from manga_backend.kit import clock
from manga_backend.kit.db import session
from manga_backend.kit.metrics import GaugeMetricFamily, gauge

WAITING = (Status.NEW, Status.FAILED)


def count_unread(user_id: ColumnElement[int]) -> Any:
    """A scalar subquery: unread inbox messages of the user that an outer statement names."""
    return (
        select(func.count())
        .where(
            Notification.user_id == user_id,
            Notification.channel == Channel.IN_APP,
            Notification.read_at.is_(None),
        )
        .correlate_except(Notification)
        .scalar_subquery()
    )


def count_with(*statuses: Status) -> ScalarSelect[int]:
    """How many messages are in one of these states, as a piece of a statement."""
    return (
        select(func.count())
        .select_from(Notification)
        .where(Notification.status.in_(statuses))
        .scalar_subquery()
    )


_NUMBERS = select(
    count_with(*WAITING).label("waiting"),
    count_with(Status.DEAD).label("dead"),
    select(func.min(Notification.created_at))
    .where(Notification.status.in_(WAITING), Notification.channel == Channel.TELEGRAM)
    .scalar_subquery()
    .label("oldest"),
)


def read_numbers() -> Iterator[GaugeMetricFamily]:
    """For Prometheus: what waits, since when, and what was given up."""
    waiting, dead, oldest = session().execute(_NUMBERS).one()
    yield gauge(
        "messages_now",
        "Messages of the outbox that wait, or were given up.",
        [(("waiting",), waiting), (("dead",), dead)],
        "state",
    )
    age = (clock.now() - oldest).total_seconds() if oldest else 0.0
    yield gauge("messages_oldest_seconds", "Age of the oldest that waits.", [((), age)])


def count_by_status(subject: str) -> dict[Status, int]:
    """How the Telegram messages about one subject fare; states without any are left out."""
    rows = session().execute(
        select(Notification.status, func.count())
        .where(Notification.subject == subject, Notification.channel == Channel.TELEGRAM)
        .group_by(Notification.status)
    )
    return {row[0]: row[1] for row in rows}


def count_waiting_about(subject: str) -> int:
    """How many Telegram messages about one subject have not left; reads only those."""
    return _count_waiting(Notification.subject == subject)


def count_waiting_for(chat_id: int) -> int:
    """How many messages to one chat have not left."""
    return _count_waiting(Notification.chat_id == chat_id)


def _count_waiting(which: ColumnElement[bool]) -> int:
    waiting = select(func.count()).where(which, Notification.status.in_(WAITING))
    return session().scalar(waiting.select_from(Notification)) or 0


def list_told(subject: str) -> list[Notification]:
    """The messages sent about one subject, edits left out."""
    return list(
        session().scalars(
            select(Notification)
            .where(
                Notification.subject == subject,
                Notification.channel == Channel.TELEGRAM,
                Notification.edits_id.is_(None),
            )
            .order_by(Notification.id)
        )
    )


def inbox(user_id: int) -> Select[Any]:
    """A user's inbox, newest first."""
    return (
        select(Notification)
        .where(Notification.user_id == user_id, Notification.channel == Channel.IN_APP)
        .order_by(Notification.id.desc())
    )


def with_unread(statement: Select[Any]) -> Select[Any]:
    """Widens the caller's statement by `unread`."""
    users = statement.selected_columns["user_id"]
    return statement.add_columns(count_unread(users).label("unread"))


def list_with_buttons(subject: str) -> list[Notification]:
    """The messages about one subject, sent or still waiting to leave, whose buttons no edit took
    away."""
    edit = aliased(Notification)
    edited = select(edit.id).where(edit.edits_id == Notification.id, edit.buttons.is_(None))
    return list(
        session().scalars(
            select(Notification)
            .where(
                Notification.subject == subject,
                Notification.channel == Channel.TELEGRAM,
                Notification.edits_id.is_(None),
                Notification.status.in_((*WAITING, Status.SENT)),
                Notification.buttons.is_not(None),
                ~edited.exists(),
            )
            .order_by(Notification.id)
        )
    )
