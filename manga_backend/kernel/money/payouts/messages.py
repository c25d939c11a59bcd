"""What users and admins read about withdrawals."""

from __future__ import annotations

PAID = "messages/payout_paid.html"
FAILED = "messages/payout_failed.html"
CANCELLED = "messages/payout_cancelled.html"
ENDED_LOG = "messages/payout_log.html"
BY_HAND = "messages/payout_by_hand.html"
STUCK = "messages/payout_stuck.html"
