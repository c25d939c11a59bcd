"""Plugs statistics in: who is listened to."""

from __future__ import annotations

from manga_backend.kernel.approvals.events import QuestionDecided
from manga_backend.kernel.backoffice.service import cards, charts
from manga_backend.kernel.identity.events import UserBanned, UserRegistered, UserUnbanned
from manga_backend.kernel.memberships.events import SubscriptionChanged
from manga_backend.kernel.money.coupons.events import CouponRedeemed, CouponsIssued
from manga_backend.kernel.money.payments.events import (
    PaymentApproved,
    PaymentRefunded,
    PaymentRejected,
)
from manga_backend.kernel.notifications.events import MessageGivenUp
from manga_backend.kernel.operations.service.metrics import numbers
from manga_backend.kernel.statistics import admin, bot, permissions, routes, service
from manga_backend.kernel.statistics.queries import read_numbers
from manga_backend.kernel.telegram.service.updates import commands
from manga_backend.kernel.telegram.types import BotCommand
from manga_backend.kit.app import App
from manga_backend.kit.events import listen
from manga_backend.kit.i18n import N_
from manga_backend.kit.principal import grants


def init_app(app: App) -> None:
    """Called once by create_app()."""
    grants.register(app, permissions.READ_STATS, "admin")
    listen(app, UserRegistered, service.on_user_registered)
    listen(app, UserBanned, service.on_user_banned)
    listen(app, UserUnbanned, service.on_user_unbanned)
    listen(app, PaymentApproved, service.on_payment_approved)
    listen(app, PaymentRefunded, service.on_payment_refunded)
    listen(app, PaymentRejected, service.on_payment_rejected)
    listen(app, QuestionDecided, service.on_question_decided)
    listen(app, MessageGivenUp, service.on_message_given_up)
    listen(app, CouponsIssued, service.on_coupons_issued)
    listen(app, CouponRedeemed, service.on_coupon_redeemed)
    listen(app, SubscriptionChanged, service.on_subscription_changed)
    cards.register(app, permissions.READ_STATS, admin.cards)
    charts.register(app, permissions.READ_STATS, admin.charts)
    commands.register(app, "stats", BotCommand(bot.stats, N_("Your numbers so far")))
    app.api.register_blueprint(routes.stats)
    numbers.register(app, "statistics", read_numbers)
