"""Plugs health checks, the worker and alarms in."""

from __future__ import annotations

from datetime import timedelta

from manga_backend.kernel.backoffice.admin import add_view
from manga_backend.kernel.backoffice.queries import list_breaks
from manga_backend.kernel.operations import (
    admin,
    cli,
    jobs,
    permissions,
    queries,
    routes,
    service,
)
from manga_backend.kernel.operations.settings import BackupSettings
from manga_backend.kit import alarms
from manga_backend.kit.app import App
from manga_backend.kit.i18n import gettext_lazy
from manga_backend.kit.jobs import Schedule, ScheduledRun, schedules
from manga_backend.kit.jobs import jobs as job_registry
from manga_backend.kit.principal import grants
from manga_backend.kit.settings import CoreSettings, take_changes_from


def init_app(app: App) -> None:
    """Called once by create_app()."""
    service.checks.register(app, "database", service.check_database)
    service.checks.register(app, "migrations", service.check_migrations)
    service.checks.register(app, "redis", service.check_redis)
    app.api.register_blueprint(routes.health)
    app.cli.add_command(cli.worker)
    app.cli.add_command(cli.live)
    app.cli.add_command(cli.backups)
    service.checks.register(app, "backups", service.check_backups)
    job_registry.register(app, jobs.BACKUP, jobs.backup_when_due)
    every = app.extensions["settings"][BackupSettings].every or timedelta(days=1)
    schedules.register(app, jobs.BACKUP, Schedule(jobs.BACKUP, every))
    service.proofs.register(app, "audit log", list_breaks)
    grants.register(app, permissions.READ_RUNS, "admin")
    grants.register(app, permissions.READ_SETTINGS, "admin")
    grants.register(app, permissions.CHANGE_SETTINGS, "superuser")
    take_changes_from(app, queries.read_changes)
    runs = gettext_lazy("Scheduled runs")
    add_view(app, admin.RunsView(ScheduledRun, runs, "panel_runs"))
    names = gettext_lazy("Settings")
    add_view(app, admin.SettingsView(names, endpoint="panel_settings", url="/admin/settings"))
    core = app.extensions["settings"][CoreSettings]
    alarms.install(app, core, service.sound, lambda: service.check_database().ok)
