"""Executors hear of new orders: at once, or once an hour, or once a day."""

from __future__ import annotations

from sqlalchemy import func, select

from manga_backend.kernel.identity.queries import contacts, find_slice, get_contact, slice_of
from manga_backend.kernel.notifications.service.bulk import queue_bulk
from manga_backend.kernel.notifications.service.outbox import notify_user
from manga_backend.kernel.notifications.types import Priority
from manga_backend.kernel.telegram.types import Message
from manga_backend.kit import clock
from manga_backend.kit.db import session
from manga_backend.kit.i18n import render
from manga_backend.kit.settings import LANGUAGES, CoreSettings, settings
from manga_backend.products.urgent import messages, queries
from manga_backend.products.urgent.domain import is_open
from manga_backend.products.urgent.models import Order, Profile
from manga_backend.products.urgent.service.profiles import next_digest
from manga_backend.products.urgent.types import Frequency

LISTED = 5
"""Orders that a digest names."""


def tell_followers(limit: int) -> bool:
    """Tell the next of those who follow a new order and want to hear at once; how far it came is
    kept in the same transaction, so nobody is told twice. False when all have been told. May run
    twice and at once."""
    now = clock.now()
    order = session().scalar(
        select(Order)
        .where(Order.told_upto.is_not(None))
        .order_by(Order.created_at)
        .limit(1)
        .with_for_update(skip_locked=True)
        .execution_options(populate_existing=True)
    )
    if order is None or order.told_upto is None:
        return False
    told = 0
    if is_open(order, now):
        followers = contacts(
            where=lambda user_id: (
                queries.interested_in(
                    user_id, order.category_key, order.city_key, Frequency.INSTANT
                )
                & (user_id != order.client_id)
            ),
            registered_by=now,
        )
        upto, told = find_slice(followers, after=order.told_upto, limit=limit)
    if not told:
        order.told_upto = None
    else:
        config = settings(CoreSettings)
        texts = {
            language: render(messages.NEW_ORDER, language, order=order, url=config.web_app_url)
            for language in LANGUAGES
        }
        queue_bulk(
            slice_of(followers, after=order.told_upto, upto=upto),
            texts,
            config.default_language,
            kind="urgent_new_order",
            subject=f"urgent:{order.id}:new",
            priority=Priority.RECEIPT,
        )
        order.told_upto = upto
    session().flush()
    return True


def send_digests(limit: int) -> int:
    """Tell those whose digest is due what came since the last one; who missed nothing is not
    disturbed. Returns how many were looked at. May run twice and at once."""
    now = clock.now()
    due = list(
        session().scalars(
            select(Profile)
            .where(Profile.digest_at <= now)
            .order_by(Profile.digest_at)
            .limit(limit)
            .with_for_update(skip_locked=True)
            .execution_options(populate_existing=True)
        )
    )
    for profile in due:
        found = queries.followed_orders(profile.user_id, profile.digested_at or now, now)
        total = session().scalar(select(func.count()).select_from(found.order_by(None).subquery()))
        if total:
            _send_digest(profile, total, list(session().scalars(found.limit(LISTED))))
        profile.digest_at, profile.digested_at = next_digest(profile.frequency, now), now
    session().flush()
    return len(due)


def _send_digest(profile: Profile, total: int, newest: list[Order]) -> None:
    now = clock.now()
    contact = get_contact(profile.user_id)
    text = render(
        messages.DIGEST,
        contact.language,
        total=total,
        open_orders=[order for order in newest if is_open(order, now)],
        url=settings(CoreSettings).web_app_url,
    )
    notify_user(contact, Message(text), kind="urgent_digest", subject="urgent:digest")
