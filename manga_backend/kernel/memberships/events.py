"""What happened to subscriptions."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, kw_only=True)
class SubscriptionChanged:
    """The end moved; `before` is None for a first subscription."""

    user_id: int
    product: str
    before: datetime | None
    after: datetime
