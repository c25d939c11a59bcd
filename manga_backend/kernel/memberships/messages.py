"""What users read about their subscriptions, and the words for what they see there."""

from __future__ import annotations

from manga_backend.kernel.memberships.types import NoticeStage
from manga_backend.kernel.money.payments.types import Method, PaymentStatus
from manga_backend.kit.i18n import N_

DAYS_CHANGED = "messages/days_changed.html"
NOTICES = {
    NoticeStage.THREE_DAYS: "messages/subscription_ends.html",
    NoticeStage.ONE_DAY: "messages/subscription_ends.html",
    NoticeStage.ENDED: "messages/subscription_ended.html",
}
STATUS = "messages/status.html"
BALANCE = "messages/balance.html"
COUPONS = "messages/coupons.html"
COUPON_USAGE = "messages/coupon_usage.html"

PAYMENT_STATUS = {
    PaymentStatus.PENDING: N_("waiting for a decision"),
    PaymentStatus.APPROVED: N_("accepted"),
    PaymentStatus.REJECTED: N_("not accepted"),
    PaymentStatus.EXPIRED: N_("expired"),
}
METHOD = {
    Method.CRYPTO: N_("crypto transfer"),
    Method.COUPON: N_("gift coupon"),
    Method.WALLET: N_("wallet"),
    Method.GATEWAY: N_("payment gateway"),
    Method.STARS: N_("Telegram Stars"),
}
