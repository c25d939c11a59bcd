"""create_app(): the composition root, the only file that names every package."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from manga_backend.kernel.approvals import settings as approval_settings
from manga_backend.kernel.approvals import wiring as approvals
from manga_backend.kernel.backoffice import wiring as backoffice
from manga_backend.kernel.broadcasts import wiring as broadcasts
from manga_backend.kernel.identity import settings as identity_settings
from manga_backend.kernel.identity import wiring as identity
from manga_backend.kernel.memberships import wiring as memberships
from manga_backend.kernel.money.chains import settings as chain_settings
from manga_backend.kernel.money.chains import wiring as chains
from manga_backend.kernel.money.coupons import wiring as coupons
from manga_backend.kernel.money.gateways import settings as gateway_settings
from manga_backend.kernel.money.gateways import wiring as gateways
from manga_backend.kernel.money.ledger import wiring as ledger
from manga_backend.kernel.money.payments import settings as payment_settings
from manga_backend.kernel.money.payments import wiring as payments
from manga_backend.kernel.money.payments.service.steps import fulfilments
from manga_backend.kernel.money.payments.service.submit import cheaper_offers, gifts, offers
from manga_backend.kernel.money.payouts import settings as payout_settings
from manga_backend.kernel.money.payouts import wiring as payouts
from manga_backend.kernel.notifications import settings as notification_settings
from manga_backend.kernel.notifications import wiring as notifications
from manga_backend.kernel.operations import settings as operation_settings
from manga_backend.kernel.operations import wiring as operations
from manga_backend.kernel.statistics import wiring as statistics
from manga_backend.kernel.telegram import settings as telegram_settings
from manga_backend.kernel.telegram import wiring as telegram
from manga_backend.kernel.telegram.settings import TelegramSettings
from manga_backend.kit import i18n, logging, pages, ratelimit
from manga_backend.kit.app import App, create, refuse_unmarked_routes
from manga_backend.kit.idempotency import purge_idempotency_keys
from manga_backend.kit.jobs import Schedule, jobs, scheduler, schedules
from manga_backend.kit.leader import add_duty
from manga_backend.kit.settings import CoreSettings, load_settings
from manga_backend.version import VERSION

# Low to high: each may use what the ones before it registered.
KERNEL = (
    backoffice,
    operations,
    telegram,
    notifications,
    identity,
    approvals,
    ledger,
    chains,
    coupons,
    gateways,
    payments,
    payouts,
    memberships,
    broadcasts,
    statistics,
)
PRODUCTS = ("manga", "urgent")
SETTINGS = (
    operation_settings.load,
    operation_settings.load_metrics,
    telegram_settings.load,
    notification_settings.load,
    identity_settings.load,
    approval_settings.load,
    chain_settings.load,
    gateway_settings.load,
    payment_settings.load,
    payout_settings.load,
)


def read_settings(values: Mapping[str, str] | None = None) -> dict[type, Any]:
    """Everything from the environment, or from `values`; SettingsError lists all that is wrong."""
    product_loaders = [
        import_module(f"manga_backend.products.{name}.settings").load for name in PRODUCTS
    ]
    return load_settings([*SETTINGS, *product_loaders], PRODUCTS, values)


def create_app(values: Mapping[str, str] | None = None) -> App:
    """The whole app. Starts no thread and opens no connection."""
    found = read_settings(values)
    core: CoreSettings = found[CoreSettings]
    identity_config = found[identity_settings.IdentitySettings]
    telegram_config = found[TelegramSettings]
    metrics_config = found[operation_settings.MetricsSettings]
    gateway_config = found[gateway_settings.GatewaySettings]
    logging.configure(
        core.log_level,
        as_json=not core.development,
        secrets=(
            core.secret_key,
            *identity_config.jwt_keys,
            identity_config.admin_secret,
            telegram_config.token,
            telegram_config.webhook_secret,
            gateway_config.payment_key,
            gateway_config.payout_key,
            metrics_config.token,
            *logging.passwords_in(
                core.database_url,
                core.direct_url,
                core.replica_url,
                core.redis_url,
                telegram_config.proxy,
            ),
        ),
    )
    app = create(found, VERSION)
    i18n.init_app(app)
    ratelimit.init_app(app, core, identity.caller_key)
    pages.init_app(app)
    for package in KERNEL:
        package.init_app(app)
    for name in PRODUCTS:
        models = f"manga_backend.products.{name}.models"
        if find_spec(models):  # the tables of all products are there, whichever are on
            import_module(models)
        if name in core.products or "all" in core.products:
            import_module(f"manga_backend.products.{name}.wiring").init_app(app)
    jobs.register(app, "idempotency.purge", purge_idempotency_keys)
    schedules.register(app, "idempotency.purge", Schedule("idempotency.purge", timedelta(hours=1)))
    add_duty(app, "schedules", scheduler)
    offers.require(app, "plan")
    cheaper_offers.require(app, "plan")
    gifts.require(app, "days")
    fulfilments.require(app, memberships.FULFILMENT)
    backoffice.add_closing_views(app)
    refuse_unmarked_routes(app)
    return app
