"""May this reader read?"""

from __future__ import annotations

from datetime import datetime

from manga_backend.kernel.memberships.errors import SubscriptionRequired
from manga_backend.products.manga.errors import SubscriptionRequiredAtGate


def require_subscription(expires_at: datetime | None, now: datetime, *, at_gate: bool) -> None:
    """SubscriptionRequired (402, or 403 at Nginx's gate) unless it is active now."""
    if expires_at is None or expires_at <= now:
        raise SubscriptionRequiredAtGate if at_gate else SubscriptionRequired
