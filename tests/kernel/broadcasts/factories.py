"""Broadcasts as an admin writes them, and users who read them."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

from sqlalchemy import insert, select

from manga_backend.kernel.backoffice.models import AuditEntry
from manga_backend.kernel.backoffice.types import Actor, Channel
from manga_backend.kernel.broadcasts import queries, runner
from manga_backend.kernel.broadcasts.service import drafts, sending
from manga_backend.kernel.broadcasts.types import Audience, Draft, Report
from manga_backend.kernel.identity.models import User
from manga_backend.kernel.memberships.models import Subscription
from manga_backend.kernel.notifications.models import Notification
from manga_backend.kit import clock
from manga_backend.kit.app import App
from tests.kernel.factories import PLAN, PRODUCT, at_work, new_chat, rows

BOSS = Actor("user:0", "boss", Channel.PANEL)


def make_users(app: App, count: int, *, reachable: bool = True, **values: Any) -> list[int]:
    """Many accounts at once; their keys in order."""
    chats = [new_chat() for _ in range(count)]
    with at_work(app) as current:
        names = [f"crowd_{chat}" for chat in chats]
        users = [
            {
                "public_id": uuid.uuid4(),
                "username": name,
                "username_key": name,
                "telegram_id": chat if reachable else None,
                "created_at": clock.now() - timedelta(minutes=1),
                **values,
            }
            for name, chat in zip(names, chats, strict=True)
        ]
        current.execute(insert(User), users)
        found = current.scalars(
            select(User.id).where(User.username.in_(names)).order_by(User.id)
        ).all()
        return list(found)


def subscribe(app: App, user_id: int, days: float, product: str = PRODUCT) -> None:
    """A subscription that ends in so many days; a negative number for one that has ended."""
    now = clock.now()
    with at_work(app) as current:
        current.add(
            Subscription(
                user_id=user_id,
                product=product,
                plan_code=PLAN,
                started_at=now - timedelta(days=100),
                expires_at=now + timedelta(days=days),
            )
        )


def write(app: App, text: str = "hello", **more: Any) -> uuid.UUID:
    """A draft; `texts` for several languages."""
    with at_work(app):
        draft = Draft(more.pop("texts", {"en": text}), **more)
        return drafts.create_broadcast(draft, BOSS).id


def start(app: App, text: str = "hello", **more: Any) -> uuid.UUID:
    """One that runs."""
    broadcast_id = write(app, text, **more)
    with at_work(app):
        sending.start(broadcast_id, BOSS)
    return broadcast_id


def feed(app: App) -> bool:
    """One round of the feeder."""
    with app.app_context():
        return runner.feed()


def feed_one(app: App, broadcast_id: uuid.UUID, room: int | None = None) -> int:
    """One transaction of the feeder."""
    with at_work(app):
        return sending.feed_next(broadcast_id, room)


def report(app: App, broadcast_id: uuid.UUID) -> Report:
    """How it fares."""
    with at_work(app):
        return queries.report(queries.get_broadcast(broadcast_id))


def messages(app: App, broadcast_id: uuid.UUID) -> list[Notification]:
    """Its Telegram messages, in order."""
    return rows(
        app,
        Notification,
        Notification.subject == f"broadcast:{broadcast_id.hex}",
        Notification.channel == "telegram",
    )


def inboxes(app: App, broadcast_id: uuid.UUID) -> list[int]:
    """The users who have it in their inbox, once for each copy."""
    found = rows(
        app,
        Notification,
        Notification.subject == f"broadcast:{broadcast_id.hex}",
        Notification.channel == "in_app",
    )
    return [row.user_id for row in found]


def audience_of(app: App, audience: Audience, **more: Any) -> set[int]:
    """Who gets a broadcast."""
    broadcast_id = start(app, audience=audience, **more)
    while feed(app) and report(app, broadcast_id).counts.left:
        pass
    reached = inboxes(app, broadcast_id)
    assert len(reached) == len(set(reached))
    return set(reached)


def audited(app: App) -> list[tuple[str, str]]:
    """Who did what to broadcasts, oldest first."""
    found = rows(app, AuditEntry, AuditEntry.subject_type == "broadcast")
    return [(entry.actor_label, entry.action) for entry in found]
