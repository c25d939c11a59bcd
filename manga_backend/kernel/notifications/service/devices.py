"""Where a user's phone apps can be pushed to."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sqlalchemy import delete, select

from manga_backend.kernel.notifications.models import DeviceToken
from manga_backend.kit import clock
from manga_backend.kit.db import insert_or, serialize_on, session

MAX_DEVICES = 20


class Platform(StrEnum):
    """What an app runs on."""

    ANDROID = "android"
    IOS = "ios"
    WEB = "web"


@dataclass(frozen=True, slots=True)
class Device:
    """A token as it is kept; `is_new` when nobody had registered it before."""

    platform: str
    created_at: datetime
    seen_at: datetime
    is_new: bool


def register_device(user_id: int, token: str, platform: str) -> Device:
    """Keep a token of a Platform; one that another account had moves to this one. May run twice.

    One registration at a time, so that a user never has more than 20: the ones that were not heard
    of for the longest go.
    """
    serialize_on("notifications.devices")
    now = clock.now()
    current = session()
    insert = insert_or(DeviceToken).values(
        user_id=user_id, token=token, platform=platform, created_at=now, seen_at=now
    )
    known = current.scalar(select(DeviceToken.id).where(DeviceToken.token == token)) is not None
    row = current.execute(
        insert.on_conflict_do_update(
            index_elements=["token"],
            set_={"user_id": user_id, "platform": platform, "seen_at": now},
        ).returning(DeviceToken.id, DeviceToken.created_at)
    ).one()
    oldest = (
        select(DeviceToken.id)
        .where(DeviceToken.user_id == user_id, DeviceToken.id != row.id)
        .order_by(DeviceToken.seen_at.desc(), DeviceToken.id.desc())
        .offset(MAX_DEVICES - 1)
    )
    surplus = list(current.scalars(oldest))
    if surplus:
        current.execute(delete(DeviceToken).where(DeviceToken.id.in_(surplus)))
    return Device(platform, row.created_at, now, is_new=not known)
