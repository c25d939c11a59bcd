"""What is counted."""

from __future__ import annotations

from enum import StrEnum


class Metric(StrEnum):
    """One number that grows; `label` in a row splits it (a currency, a method)."""

    USERS = "users"
    BANNED = "banned"
    PAYMENTS = "payments"
    REJECTED = "rejected"
    REVENUE = "revenue"
    COUPONS_ISSUED = "coupons_issued"
    COUPONS_REDEEMED = "coupons_redeemed"
    SUBSCRIPTIONS = "subscriptions"
    DECISIONS = "decisions"
    """Questions at the desk that were decided, by kind."""
    DECISION_SECONDS = "decision_seconds"
    """How long they had waited, all together."""
    GIVEN_UP = "given_up"
    """Messages that could not be delivered."""
    FACTS = "facts"
    """What a product counts, by words of its own: `<product>:<word>`."""
    ENDS = "ends"
    """Subscriptions by the half hour in which they end."""
