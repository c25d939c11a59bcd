"""Plugs plans and subscriptions in."""

from __future__ import annotations

from manga_backend.kernel.backoffice.admin import add_view
from manga_backend.kernel.memberships import admin, cli, permissions, routes, service
from manga_backend.kernel.memberships.models import Subscription
from manga_backend.kernel.money.payments.service.steps import fulfilments
from manga_backend.kernel.money.payments.service.submit import gifts, offers
from manga_backend.kit.app import App
from manga_backend.kit.i18n import gettext_lazy
from manga_backend.kit.principal import grants

FULFILMENT = service.FULFILMENT


def init_app(app: App) -> None:
    """Called once by create_app()."""
    grants.register(app, permissions.GIVE_DAYS, "admin")
    offers.register(app, "plan", service.plan_offer)
    gifts.register(app, "days", service.gift_of_days)
    fulfilments.register(app, service.FULFILMENT, service.DaysFulfilment())
    app.cli.add_command(cli.coupon)
    app.api.register_blueprint(routes.plans)
    app.api.register_blueprint(routes.system)
    subscriptions = gettext_lazy("Subscriptions")
    add_view(app, admin.SubscriptionsView(Subscription, subscriptions, "panel_subscriptions"))
    add_view(
        app, admin.GiveDaysView(gettext_lazy("Give days"), endpoint="panel_days", url="/admin/days")
    )
    make = gettext_lazy("Make coupons")
    add_view(
        app, admin.IssueCouponsView(make, endpoint="panel_new_coupons", url="/admin/new-coupons")
    )
