"""Plugs plans and subscriptions in."""

from __future__ import annotations

from datetime import timedelta

from manga_backend.kernel.backoffice.admin import add_view
from manga_backend.kernel.memberships import admin, bot, cli, jobs, permissions, routes, service
from manga_backend.kernel.memberships.models import Subscription
from manga_backend.kernel.money.coupons.permissions import ISSUE_COUPONS
from manga_backend.kernel.money.payments.service.steps import fulfilments
from manga_backend.kernel.money.payments.service.submit import cheaper_offers, gifts, offers
from manga_backend.kernel.telegram.service.updates import commands
from manga_backend.kernel.telegram.types import BotCommand
from manga_backend.kit.app import App
from manga_backend.kit.i18n import N_, gettext_lazy
from manga_backend.kit.jobs import Schedule, schedules
from manga_backend.kit.jobs import jobs as job_registry
from manga_backend.kit.principal import grants

FULFILMENT = service.FULFILMENT


def init_app(app: App) -> None:
    """Called once by create_app()."""
    grants.register(app, permissions.GIVE_DAYS, "admin")
    grants.register(app, permissions.READ_PLANS, "support")
    grants.register(app, permissions.CHANGE_PLANS, "admin")
    offers.register(app, "plan", service.plan_offer)
    cheaper_offers.register(app, "plan", service.cheaper_offer)
    gifts.register(app, "days", service.gift_of_days)
    fulfilments.register(app, service.FULFILMENT, service.DaysFulfilment())
    job_registry.register(app, "memberships.tell_ends", jobs.tell_ends)
    job_registry.register(app, "memberships.purge_notices", jobs.purge_notices)
    for job, every in (
        ("memberships.tell_ends", timedelta(minutes=5)),
        ("memberships.purge_notices", timedelta(days=1)),
    ):
        schedules.register(app, job, Schedule(job, every))
    commands.register(app, "status", BotCommand(bot.status, N_("Your subscription and payments")))
    commands.register(app, "balance", BotCommand(bot.balance, N_("What your account has")))
    make = N_("Make gift coupons: days, how many")
    commands.register(app, "coupon", BotCommand(bot.coupon, make, ISSUE_COUPONS))
    app.cli.add_command(cli.coupon)
    app.api.register_blueprint(routes.plans)
    app.api.register_blueprint(routes.system)
    subscriptions = gettext_lazy("Subscriptions")
    add_view(app, admin.SubscriptionsView(Subscription, subscriptions, "panel_subscriptions"))
    add_view(
        app, admin.GiveDaysView(gettext_lazy("Give days"), endpoint="panel_days", url="/admin/days")
    )
    prices = gettext_lazy("Plans")
    add_view(app, admin.PlansView(prices, endpoint="panel_plans", url="/admin/plans"))
    title = gettext_lazy("Make coupons")
    add_view(
        app, admin.IssueCouponsView(title, endpoint="panel_new_coupons", url="/admin/new-coupons")
    )
