"""How the reading of updates fares: noted by the leader, read by every process."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy.exc import SQLAlchemyError

from manga_backend.kernel.operations.types import Check
from manga_backend.kernel.telegram.events import PollerReturned
from manga_backend.kernel.telegram.models import TelegramPoller
from manga_backend.kernel.telegram.queries import find_poller
from manga_backend.kernel.telegram.settings import TelegramSettings
from manga_backend.kit import clock
from manga_backend.kit.db import session
from manga_backend.kit.settings import settings

POLLED_LATELY = timedelta(seconds=120)
PRESS_LIVES = timedelta(seconds=150)
"""Later than this Telegram takes no answer to a press; its button is dead to whoever pressed."""


def get_or_make_poller() -> TelegramPoller:
    """The one row of the loop's state."""
    current = session()
    poller = current.get(TelegramPoller, 1)
    if poller is None:
        poller = TelegramPoller(id=1)
        current.add(poller)
        current.flush()
    return poller


def note_poller(*, problem: str | None, bot_username: str | None = None) -> PollerReturned | None:
    """Record how the reading of updates fares, for readiness checks of every process.

    PollerReturned when they are read again after more than a press can wait: for the caller to
    publish in a transaction of its own, so that no listener can keep this one from being kept.
    """
    returned = None
    poller = get_or_make_poller()
    poller.problem = problem
    if bot_username:
        poller.bot_username = bot_username
    if problem is None:
        now, before = clock.now(), poller.polled_at
        poller.polled_at = now
        session().flush()
        if before is not None and now - before > PRESS_LIVES:
            returned = PollerReturned(away_seconds=int((now - before).total_seconds()))
    session().flush()
    return returned


def forget_offset() -> None:
    """Updates come another way: the numbers may begin anew before they are asked for again."""
    get_or_make_poller().next_offset = None
    session().flush()


def note_menus(digest: str) -> None:
    """Remember which command menus Telegram has."""
    get_or_make_poller().menu_digest = digest
    session().flush()


def check_poller() -> Check:
    """For readiness: do updates arrive, and what keeps them from it."""
    mode = settings(TelegramSettings).mode
    if mode == "off":
        return Check(True, "off: no TELEGRAM_BOT_TOKEN, or TELEGRAM_MODE=off")
    try:
        poller = find_poller()
    except SQLAlchemyError as error:
        return Check(False, f"unknown: {type(error).__name__}")
    if poller is None:
        return Check(False, "nobody has polled yet" if mode == "polling" else "not looked at yet")
    if poller.problem:
        return Check(False, poller.problem)
    if not is_fresh(poller):
        does = "polls" if mode == "polling" else "watches the webhook"
        return Check(False, f"nobody {does}: no process leads")
    if mode == "webhook":
        return Check(True, f"@{poller.bot_username} is brought updates by the webhook")
    return Check(True, f"@{poller.bot_username} reads updates")


def is_fresh(poller: TelegramPoller) -> bool:
    """Whether a leader of ours read updates, or looked at the webhook, a short while ago."""
    return poller.polled_at is not None and clock.now() - poller.polled_at <= POLLED_LATELY
