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
    ENDS = "ends"
    """Subscriptions by the half hour in which they end."""
