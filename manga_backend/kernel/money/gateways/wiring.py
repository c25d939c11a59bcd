"""Plugs the gateways in."""

from __future__ import annotations

from datetime import timedelta

from manga_backend.kernel.backoffice.admin import add_view
from manga_backend.kernel.money.gateways import admin, jobs, permissions, routes
from manga_backend.kernel.money.gateways.models import Webhook
from manga_backend.kernel.money.gateways.service import HANDLE
from manga_backend.kit.app import App
from manga_backend.kit.i18n import gettext_lazy
from manga_backend.kit.jobs import Schedule, schedules
from manga_backend.kit.jobs import jobs as job_registry
from manga_backend.kit.principal import grants


def init_app(app: App) -> None:
    """Called once by create_app()."""
    grants.register(app, permissions.READ_WEBHOOKS, "support")
    grants.register(app, permissions.REPLAY_WEBHOOKS, "admin")
    app.api.register_blueprint(routes.webhooks)
    for job, run, every in (
        (HANDLE, jobs.handle_webhooks, timedelta(seconds=60)),
        ("gateways.forget", jobs.forget_old, timedelta(days=1)),
    ):
        job_registry.register(app, job, run)
        schedules.register(app, job, Schedule(job, every))
    add_view(app, admin.WebhooksView(Webhook, gettext_lazy("Webhooks"), "panel_webhooks"))
