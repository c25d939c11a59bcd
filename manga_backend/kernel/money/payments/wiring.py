"""Plugs payments in."""

from __future__ import annotations

from datetime import timedelta

from manga_backend.kernel.approvals.service.asking import subjects
from manga_backend.kernel.backoffice.admin import add_view
from manga_backend.kernel.money.gateways.service import settlers
from manga_backend.kernel.money.gateways.types import Checkout
from manga_backend.kernel.money.payments import admin, jobs, permissions, routes
from manga_backend.kernel.money.payments.models import ChainTransfer, Invoice, Payment
from manga_backend.kernel.money.payments.service import checkouts, stars
from manga_backend.kernel.money.payments.service.booking import FILL_THE_WALLET, WalletFulfilment
from manga_backend.kernel.money.payments.service.decide import PaymentSubject
from manga_backend.kernel.money.payments.service.steps import fulfilments
from manga_backend.kernel.money.payments.service.submit import APPROVAL_KIND, VERIFY
from manga_backend.kernel.operations.service.changes import changeable
from manga_backend.kernel.operations.service.health import checks
from manga_backend.kernel.telegram.service.updates import invoices
from manga_backend.kit.app import App
from manga_backend.kit.i18n import N_, gettext_lazy
from manga_backend.kit.jobs import Schedule, schedules
from manga_backend.kit.jobs import jobs as job_registry
from manga_backend.kit.principal import grants


def init_app(app: App) -> None:
    """Called once by create_app()."""
    changeable.register(
        app, "AUTO_APPROVE", N_("intent: an exact amount that was promised needs no admin")
    )
    grants.register(app, permissions.PAY, "user")
    grants.register(app, permissions.READ_OWN_PAYMENTS, "user")
    grants.register(app, permissions.READ_PAYMENTS, "support")
    grants.register(app, permissions.REFUND, "admin")
    subjects.register(app, APPROVAL_KIND, PaymentSubject())
    for kind in FILL_THE_WALLET:
        fulfilments.register(app, kind, WalletFulfilment())
    app.api.register_blueprint(routes.paying)
    app.api.register_blueprint(routes.own)
    app.api.register_blueprint(routes.invoices)
    for job, run, every in (
        (VERIFY, jobs.verify_due, timedelta(seconds=15)),
        ("payments.watch", jobs.watch, timedelta(seconds=20)),
        ("payments.expire", jobs.expire, timedelta(seconds=60)),
        ("payments.poll_checkouts", jobs.poll_checkouts, timedelta(seconds=60)),
        (stars.REFUND, jobs.refund_stars, timedelta(seconds=60)),
    ):
        job_registry.register(app, job, run)
        schedules.register(app, job, Schedule(job, every))
    invoices.register(app, stars.PAYLOAD, stars.StarsInvoices())
    settlers.register(app, Checkout.__name__, checkouts.settle)
    checks.register(app, "chains", jobs.readiness)
    add_view(app, admin.InvoicesView(Invoice, gettext_lazy("Invoices"), "panel_invoices"))
    arrived = gettext_lazy("Received on chains")
    add_view(app, admin.ChainTransfersView(ChainTransfer, arrived, "panel_received"))
    add_view(app, admin.PaymentsView(Payment, gettext_lazy("Payments"), "panel_payments"))
