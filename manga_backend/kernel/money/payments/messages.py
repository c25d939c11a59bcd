"""What users and the log channel read about payments."""

from __future__ import annotations

APPROVED = "messages/payment_approved.html"
REJECTED = "messages/payment_rejected.html"
COUPON_REDEEMED = "messages/coupon_redeemed.html"
COUPON_LOG = "messages/coupon_log.html"
AUTO_LOG = "messages/payment_auto_log.html"
REFUNDED = "messages/payment_refunded.html"
STARS_REFUSED = "messages/stars_refused.html"
STARS_REFUNDED = "messages/stars_refunded.html"
