"""How stored values are written for people, and the groups of the menu."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import date
from enum import StrEnum
from typing import Any

from flask import url_for
from markupsafe import Markup

from manga_backend.kernel.backoffice.types import Bar, Chart
from manga_backend.kit.i18n import (
    N_,
    gettext,
    left_to_right,
    local_day,
    local_digits,
    local_time,
)
from manga_backend.kit.registry import Registry

WORDS: dict[str, str] = {
    # States
    "active": N_("Active"),
    "approved": N_("Approved"),
    "cancelled": N_("Cancelled"),
    "completed": N_("Completed"),
    "dead": N_("Given up"),
    "draft": N_("Draft"),
    "ended": N_("Ended"),
    "expired": N_("Expired"),
    "failed": N_("Failed"),
    "finished": N_("Finished"),
    "held": N_("Held back"),
    "new": N_("New"),
    "open": N_("Awaiting payment"),
    "paid": N_("Paid"),
    "paused": N_("Paused"),
    "pending": N_("Pending"),
    "posted": N_("Posted"),
    "processing": N_("Being sent"),
    "refunded": N_("Refunded"),
    "rejected": N_("Rejected"),
    "running": N_("Running"),
    "sent": N_("Delivered"),
    "settled": N_("Settled"),
    "unreachable": N_("Unreachable"),
    "voided": N_("Voided"),
    # Ways to pay, and what moves money
    "correction": N_("Correction"),
    "coupon": N_("Coupon"),
    "credit": N_("Credit"),
    "crypto": N_("Transfer on a chain"),
    "days": N_("Days"),
    "excess": N_("Overpayment"),
    "exchange": N_("Exchange"),
    "gateway": N_("Payment provider"),
    "gift": N_("A gift"),
    "gifts": N_("Gifts"),
    "payout": N_("Withdrawal"),
    "percent": N_("Percentage"),
    "received": N_("Money received"),
    "refund": N_("Refund"),
    "revenue": N_("Revenue"),
    "sale": N_("Sale"),
    "telegram_stars": N_("Telegram Stars"),
    "top_up": N_("Top-up"),
    "wallet": N_("Wallet"),
    # Channels and roles
    "admin": N_("Admin"),
    "api": N_("API"),
    "cli": N_("Command line"),
    "in_app": N_("Inbox of the app"),
    "panel": N_("Panel"),
    "superuser": N_("Superuser"),
    "support": N_("Support"),
    "system": N_("System"),
    "telegram": N_("Telegram"),
    "token": N_("App"),
    "user": N_("User"),
    # Networks
    "bitcoin": N_("Bitcoin"),
    "bsc": N_("BNB Smart Chain"),
    "ethereum": N_("Ethereum"),
    "polygon": N_("Polygon"),
    "ton": N_("TON"),
    "tron": N_("TRON"),
}
"""By the stored word; of what is not here the word itself is shown."""

words: Registry[str] = Registry("backoffice.words")
"""The same of what products store."""

GROUPS: dict[str, str] = {
    "people": N_("People"),
    "money": N_("Money"),
    "sale": N_("On sale"),
    "messages": N_("Messages"),
    "system": N_("System"),
}
"""The menu's, in their order; a view of no group stands before them."""


def word_of(value: StrEnum | str) -> str:
    """A state or kind in the reader's language."""
    known = WORDS.get(value) or words.find(value)
    return gettext(known) if known else str(getattr(value, "value", value))


def written(name: str, value: Any) -> Any:
    """A stored value as people read it."""
    if name == "user_id":
        page = url_for("panel_users.details_view", id=value)
        return Markup('<a href="{}">{}</a>').format(page, value)
    if hasattr(value, "astimezone"):
        return local_time(value)
    if isinstance(value, bool):
        return gettext("Yes") if value else gettext("No")
    if isinstance(value, dict):
        text = json.dumps(value, ensure_ascii=False, indent=2)
        return Markup('<pre dir="ltr">{}</pre>').format(text)
    if isinstance(value, StrEnum):
        return word_of(value)
    return left_to_right(value)


def plain(value: int) -> str:
    """A number in the reader's digits."""
    return local_digits(str(value))


def chart_of(
    title: str,
    days: Sequence[date],
    values: Sequence[int],
    total: str,
    endpoint: str,
    write: Callable[[int], str] = plain,
) -> Chart:
    """A value for each day, for the dashboard."""
    bars = [
        Bar(local_day(day), value, write(value)) for day, value in zip(days, values, strict=True)
    ]
    return Chart(title, bars, total, endpoint)
