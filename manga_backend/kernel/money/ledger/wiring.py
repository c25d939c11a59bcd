"""Plugs the book in."""

from __future__ import annotations

from datetime import timedelta

from manga_backend.kernel.backoffice.admin import add_view
from manga_backend.kernel.money.ledger import admin, cli, jobs, permissions, routes
from manga_backend.kernel.money.ledger.models import Account, Transfer
from manga_backend.kernel.operations.service.backups import proofs
from manga_backend.kernel.operations.service.health import checks
from manga_backend.kit.app import App
from manga_backend.kit.i18n import gettext_lazy
from manga_backend.kit.jobs import Schedule, schedules
from manga_backend.kit.jobs import jobs as job_registry
from manga_backend.kit.principal import grants


def init_app(app: App) -> None:
    """Called once by create_app()."""
    grants.register(app, permissions.READ_OWN_WALLET, "user")
    grants.register(app, permissions.READ_LEDGER, "admin")
    grants.register(app, permissions.CORRECT_WALLETS, "superuser")
    job_registry.register(app, jobs.CHECK, jobs.check)
    schedules.register(app, jobs.CHECK, Schedule(jobs.CHECK, timedelta(hours=1)))
    checks.register(app, "ledger", jobs.readiness)
    proofs.register(app, "ledger", jobs.list_findings)
    app.cli.add_command(cli.ledger)
    app.api.register_blueprint(routes.wallet)
    add_view(app, admin.AccountsView(Account, gettext_lazy("Accounts"), "panel_accounts"))
    add_view(app, admin.TransfersView(Transfer, gettext_lazy("Transfers"), "panel_transfers"))
    title = gettext_lazy("Correct a wallet")
    add_view(app, admin.WalletsView(title, endpoint="panel_wallets", url="/admin/wallets"))
