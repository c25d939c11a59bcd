"""What an executor follows, how often they hear of it, and what they are known by."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, time, timedelta

from sqlalchemy import delete, select

from manga_backend.kit import clock
from manga_backend.kit.db import insert_or, session
from manga_backend.kit.settings import CoreSettings, settings
from manga_backend.products.urgent.domain import key_of, tidy
from manga_backend.products.urgent.models import Interest, Profile
from manga_backend.products.urgent.types import Frequency

DIGEST_TIME = time(9)
"""Of the daily digest, in TIMEZONE."""


def lock_profile(user_id: int) -> Profile:
    """A user's profile, made when it is first needed, held until the transaction ends. May run at
    once."""
    new = {
        "user_id": user_id,
        "completed_orders_count": 0,
        "rating_sum": 0,
        "ratings_count": 0,
        "categories": [],
        "cities": [],
        "frequency": Frequency.INSTANT,
    }
    session().execute(insert_or(Profile).values(new).on_conflict_do_nothing())
    return (
        session()
        .scalars(
            select(Profile)
            .where(Profile.user_id == user_id)
            .with_for_update()
            .execution_options(populate_existing=True)
        )
        .one()
    )


def set_preferences(user_id: int, categories: Sequence[str], cities: Sequence[str]) -> Profile:
    """What the user follows from now on: orders of any of these categories in any of these cities.
    An empty list stands for all of its kind, two empty lists for nothing. Locks the profile. May
    run twice."""
    profile = lock_profile(user_id)
    profile.categories, profile.cities = _distinct(categories), _distinct(cities)
    session().execute(delete(Interest).where(Interest.user_id == user_id))
    if profile.categories or profile.cities:
        session().add_all(
            Interest(user_id=user_id, category_key=category, city_key=city)
            for category in _keys(profile.categories)
            for city in _keys(profile.cities)
        )
    session().flush()
    return profile


def _distinct(names: Sequence[str]) -> list[str]:
    """As they were typed first, each once."""
    return list({key_of(name): tidy(name) for name in reversed(names)}.values())[::-1]


def _keys(names: Sequence[str]) -> list[str]:
    return [key_of(name) for name in names] or [""]


def set_frequency(user_id: int, frequency: Frequency) -> Profile:
    """How often the user hears of new orders. Locks the profile. May run twice."""
    profile = lock_profile(user_id)
    if profile.frequency is not frequency:
        now = clock.now()
        profile.frequency = frequency
        if profile.digest_at is None:  # another digest goes on where the one before it ended
            profile.digested_at = now
        profile.digest_at = next_digest(frequency, now)
        session().flush()
    return profile


def next_digest(frequency: Frequency, now: datetime) -> datetime | None:
    """In an hour; or at DIGEST_TIME, today or tomorrow; None for whoever wants no digest."""
    if frequency is Frequency.HOURLY:
        return now + timedelta(hours=1)
    if frequency is not Frequency.DAILY:
        return None
    zone = settings(CoreSettings).timezone
    local = now.astimezone(zone)
    today = datetime.combine(local.date(), DIGEST_TIME, zone)
    tomorrow = datetime.combine(local.date() + timedelta(days=1), DIGEST_TIME, zone)
    return today if today > local else tomorrow


def count_completed(user_id: int) -> None:
    """One more order that this executor did. Locks the profile."""
    profile = lock_profile(user_id)
    profile.completed_orders_count += 1
    session().flush()


def count_rating(user_id: int, rating: int, times: int = 1) -> Profile:
    """A review came (or with -1 no longer counts). Locks the profile."""
    profile = lock_profile(user_id)
    profile.rating_sum += rating * times
    profile.ratings_count += times
    session().flush()
    return profile
