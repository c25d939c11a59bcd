"""Plugs withdrawals in."""

from __future__ import annotations

from datetime import timedelta

from manga_backend.kernel.approvals.service.asking import subjects
from manga_backend.kernel.backoffice.admin import add_view
from manga_backend.kernel.backoffice.service import cards
from manga_backend.kernel.money.gateways.service import settlers
from manga_backend.kernel.money.gateways.types import Remittance
from manga_backend.kernel.money.payouts import admin, jobs, permissions, routes
from manga_backend.kernel.money.payouts.models import Payout
from manga_backend.kernel.money.payouts.service.decide import PayoutSubject
from manga_backend.kernel.money.payouts.service.sending import SEND, settle
from manga_backend.kernel.money.payouts.service.steps import KIND
from manga_backend.kernel.operations.service.changes import changeable
from manga_backend.kit.app import App
from manga_backend.kit.i18n import N_, gettext_lazy
from manga_backend.kit.jobs import Schedule, schedules
from manga_backend.kit.jobs import jobs as job_registry
from manga_backend.kit.principal import grants


def init_app(app: App) -> None:
    """Called once by create_app()."""
    changeable.register(app, "WITHDRAW_BY", N_("Who sends withdrawals: off, gateway or hand"))
    changeable.register(app, "WITHDRAW_MIN", N_("The least that a withdrawal may be, in USDT"))
    changeable.register(app, "WITHDRAW_MAX", N_("The most that a withdrawal may be, in USDT"))
    changeable.register(
        app, "WITHDRAW_APPROVAL_ABOVE", N_("Withdrawals above so many USDT ask an admin")
    )
    grants.register(app, permissions.WITHDRAW, "user")
    grants.register(app, permissions.READ_OWN_PAYOUTS, "user")
    grants.register(app, permissions.READ_PAYOUTS, "support")
    grants.register(app, permissions.SETTLE_PAYOUTS, "admin")
    grants.register(app, permissions.VOUCH_FOR_PAYOUTS, "superuser")
    cards.register(app, permissions.READ_PAYOUTS, admin.cards)
    subjects.register(app, KIND, PayoutSubject())
    settlers.register(app, Remittance.__name__, settle)
    app.api.register_blueprint(routes.withdrawals)
    job_registry.register(app, SEND, jobs.send_due)
    schedules.register(app, SEND, Schedule(SEND, timedelta(seconds=30)))
    add_view(app, admin.PayoutsView(Payout, gettext_lazy("Withdrawals"), "panel_payouts"))
