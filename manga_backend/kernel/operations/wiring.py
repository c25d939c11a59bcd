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
)
from manga_backend.kernel.operations.runner import watch_clock
from manga_backend.kernel.operations.service import backups, doctor, health, metrics
from manga_backend.kernel.operations.settings import BackupSettings
from manga_backend.kit import alarms
from manga_backend.kit.app import App
from manga_backend.kit.i18n import gettext_lazy
from manga_backend.kit.jobs import Schedule, ScheduledRun, schedules
from manga_backend.kit.jobs import jobs as job_registry
from manga_backend.kit.leader import add_duty
from manga_backend.kit.principal import grants
from manga_backend.kit.settings import CoreSettings, take_changes_from

EXAMINATIONS = (
    ("settings", doctor.examine_settings),
    ("database", doctor.examine_database),
    ("redis", doctor.examine_redis),
    ("machine", doctor.examine_machine),
    ("backups", doctor.examine_backups),
    ("parts", doctor.examine_parts),
)


def init_app(app: App) -> None:
    """Called once by create_app()."""
    health.checks.register(app, "database", health.check_database)
    health.checks.register(app, "migrations", health.check_migrations)
    health.checks.register(app, "redis", health.check_redis)
    health.checks.register(app, "replica", health.check_replica)
    health.checks.register(app, "clock", health.check_clock)
    health.checks.register(app, "disk", health.check_disk)
    add_duty(app, "clock", watch_clock)
    app.api.register_blueprint(routes.health)
    app.add_url_rule("/metrics", "metrics", routes.metrics)
    metrics.numbers.register(app, "schedules", metrics.read_runs)
    metrics.numbers.register(app, "backups", metrics.read_backup_age)
    app.cli.add_command(cli.worker)
    app.cli.add_command(cli.doctor)
    for heading, look in EXAMINATIONS:
        doctor.examinations.register(app, heading, look)
    app.cli.add_command(cli.live)
    app.cli.add_command(cli.backup_group)
    health.checks.register(app, "backups", backups.check_backups)
    job_registry.register(app, jobs.BACKUP, jobs.backup_when_due)
    every = app.extensions["settings"][BackupSettings].every or timedelta(days=1)
    schedules.register(app, jobs.BACKUP, Schedule(jobs.BACKUP, every))
    backups.proofs.register(app, "audit log", list_breaks)
    grants.register(app, permissions.READ_RUNS, "admin")
    grants.register(app, permissions.READ_SETTINGS, "admin")
    grants.register(app, permissions.CHANGE_SETTINGS, "superuser")
    take_changes_from(app, queries.read_changes)
    runs = gettext_lazy("Scheduled runs")
    add_view(app, admin.RunsView(ScheduledRun, runs, "panel_runs"))
    names = gettext_lazy("Settings")
    add_view(app, admin.SettingsView(names, endpoint="panel_settings", url="/admin/settings"))
    core = app.extensions["settings"][CoreSettings]
    alarms.install(app, core, health.sound, lambda: health.check_database().ok)
