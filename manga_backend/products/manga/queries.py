"""What the two hot routes read along with the session: one statement each."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Select

from manga_backend.kernel.memberships.queries import with_subscription
from manga_backend.kernel.money.payments.queries import with_summary
from manga_backend.kernel.notifications.queries import with_unread

PRODUCT = "manga"


def with_status(statement: Select[Any]) -> Select[Any]:
    """Subscription, counts and last payment, and unread messages."""
    user_id = statement.selected_columns["user_id"]
    statement = with_subscription(statement, user_id, PRODUCT)
    return with_unread(with_summary(statement, user_id))


def with_end(statement: Select[Any]) -> Select[Any]:
    """Only until when the caller may read."""
    return with_subscription(statement, statement.selected_columns["user_id"], PRODUCT)
