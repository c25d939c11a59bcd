"""What runs beside requests: closing, telling followers, digests, forgetting."""

from __future__ import annotations

from datetime import timedelta

from manga_backend.kit.db import in_transaction
from manga_backend.kit.jobs import Schedule
from manga_backend.products.urgent.service import closing, notices
from manga_backend.products.urgent.service.orders import TELL

CLOSE_BATCH = 100
TELL_BATCH = 1000
DIGEST_BATCH = 50


def close() -> None:
    """All orders whose time is over."""
    while in_transaction(closing.close_silent):
        pass
    while in_transaction(lambda: closing.close_expired(CLOSE_BATCH)):
        pass


def tell() -> None:
    """All who follow new orders and want to hear at once."""
    while in_transaction(lambda: notices.tell_followers(TELL_BATCH)):
        pass


def digest() -> None:
    """All digests that are due."""
    while in_transaction(lambda: notices.send_digests(DIGEST_BATCH)) == DIGEST_BATCH:
        pass


def forget() -> None:
    """Changes that no listener can ask for any more."""
    in_transaction(closing.forget_changes)


SCHEDULES = {
    "urgent.close": (close, Schedule("urgent.close", timedelta(minutes=1))),
    TELL: (tell, Schedule(TELL, timedelta(seconds=15))),
    "urgent.digest": (digest, Schedule("urgent.digest", timedelta(minutes=5))),
    "urgent.forget": (forget, Schedule("urgent.forget", timedelta(hours=1))),
}
