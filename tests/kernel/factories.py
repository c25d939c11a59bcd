"""Rows that many tests of the kernel start from, made without the price of a password hash."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from manga_backend.kernel.approvals.models import Approval
from manga_backend.kernel.approvals.service import deciding as desk
from manga_backend.kernel.approvals.types import Decision
from manga_backend.kernel.backoffice.types import CLI, Actor, Channel
from manga_backend.kernel.identity.events import UserRegistered
from manga_backend.kernel.identity.models import User
from manga_backend.kernel.identity.service.sessions import open_session
from manga_backend.kernel.identity.service.tokens import issue_tokens
from manga_backend.kernel.identity.types import Device, Role
from manga_backend.kernel.memberships.models import Subscription
from manga_backend.kernel.memberships.service import issue_coupons
from manga_backend.kernel.money.payments.models import Payment
from manga_backend.kernel.money.payments.service.submit import submit_transaction
from manga_backend.kernel.notifications.models import Notification
from manga_backend.kernel.notifications.queries import WAITING
from manga_backend.kernel.statistics.models import StatisticsTotal
from manga_backend.kernel.statistics.types import Metric
from manga_backend.kit import clock
from manga_backend.kit.app import App
from manga_backend.kit.db import transaction
from manga_backend.kit.events import publish
from tests.support import Api, Reader, new_hash

PRODUCT = "manga"
PLAN = "monthly"

_numbers = itertools.count(1)
_chats = itertools.count(5_000_000_001)


@contextmanager
def at_work(app: App) -> Iterator[Session]:
    """One transaction of its own."""
    with app.app_context(), transaction() as current:
        yield current


def new_chat() -> int:
    """The Telegram id of someone that no test has met."""
    return next(_chats)


def make_user(app: App, *, verified: bool = False, **values: Any) -> int:
    """An account that cannot sign in by password; returns our own key."""
    with at_work(app) as current:
        name = f"user_{next(_numbers)}"
        values = {"role": Role.USER, "telegram_id": new_chat(), **values}
        if verified:
            values["telegram_verified_at"] = clock.now()
        user = User(username=name, username_key=name, created_at=clock.now(), **values)
        current.add(user)
        current.flush()
        publish(UserRegistered(user_id=user.id))
        return user.id


def get_user(app: App, user_id: int) -> User:
    """As it stands in the database."""
    with at_work(app) as current:
        return current.get_one(User, user_id)


def make_reader(api: Api, **values: Any) -> Reader:
    """A signed-in account."""
    user_id = make_user(api.app, **values)
    with at_work(api.app) as current:
        user = current.get_one(User, user_id)
        session = open_session(user, product=PRODUCT, limit=1, device=Device())
        tokens = issue_tokens(user, session)
        return Reader(api, user.label, user.telegram_id or 0, {"access_token": tokens.access_token})


def make_readers(api: Api, count: int) -> list[Reader]:
    """Several of them."""
    return [make_reader(api) for _ in range(count)]


def make_coupon(app: App, *, days: int = 30, max_uses: int = 1, **more: Any) -> str:
    """A coupon's code as people read it."""
    with at_work(app):
        return issue_coupons(CLI, days=days, max_uses=max_uses, **more)[0]


def submit(app: App, user_id: int, tx_hash: str | None = None, **more: Any) -> uuid.UUID:
    """A pending payment."""
    with at_work(app):
        return submit_transaction(user_id, tx_hash or new_hash(), **more).id


def approval_of(app: App, payment_id: uuid.UUID) -> Approval:
    """The question about a payment, as it stands in the database."""
    with at_work(app) as current:
        return current.scalars(select(Approval).where(Approval.subject_id == str(payment_id))).one()


def admin(number: int = 1) -> Actor:
    """Someone who may decide."""
    return Actor(f"telegram:{number}", f"admin {number}", Channel.TELEGRAM)


def decide(
    app: App,
    payment_id: uuid.UUID,
    decision: Decision,
    actor: Actor | None = None,
    reason: str | None = None,
) -> None:
    """One admin's decision about a payment."""
    approval_id = approval_of(app, payment_id).id
    with at_work(app):
        desk.decide(approval_id, decision, actor or admin(), reason)


def payment_of(app: App, payment_id: uuid.UUID) -> Payment:
    """As it stands in the database."""
    with at_work(app) as current:
        return current.get_one(Payment, payment_id)


def subscription_of(app: App, user_id: int) -> Subscription | None:
    """As it stands in the database."""
    with at_work(app) as current:
        return current.scalar(select(Subscription).where(Subscription.user_id == user_id))


def end_of(app: App, user_id: int) -> datetime:
    """Until when this user may read."""
    found = subscription_of(app, user_id)
    assert found is not None
    return found.expires_at


def rows(app: App, model: type[Any], *where: Any) -> list[Any]:
    """All rows of a table that fit, in the order of their ids."""
    with at_work(app) as current:
        return list(current.scalars(select(model).where(*where).order_by(model.id)))


def count(app: App, model: type[Any], *where: Any) -> int:
    """How many rows of a table fit."""
    with at_work(app) as current:
        return current.scalar(select(func.count()).select_from(model).where(*where)) or 0


def told(app: App, user_id: int) -> list[Notification]:
    """What a user finds in the inbox, oldest first."""
    return rows(
        app, Notification, Notification.user_id == user_id, Notification.channel == "in_app"
    )


def make_due(app: App) -> None:
    """Whatever waits to leave may leave now, as if its pause or lease were over."""
    with at_work(app) as current:
        current.execute(
            update(Notification)
            .where(Notification.status.in_(WAITING))
            .values(due_at=clock.now() - timedelta(seconds=1))
        )


def earned(app: App) -> int:
    """All revenue that the statistics know, in minor units."""
    with at_work(app) as current:
        sums = select(func.sum(StatisticsTotal.value))
        return int(current.scalar(sums.where(StatisticsTotal.metric == Metric.REVENUE)) or 0)
