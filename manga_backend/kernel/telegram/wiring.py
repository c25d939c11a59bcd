"""Plugs the bot in."""

from __future__ import annotations

from datetime import timedelta

from manga_backend.kernel.operations.service.backups import carriers
from manga_backend.kernel.operations.service.doctor import examinations
from manga_backend.kernel.operations.service.health import checks
from manga_backend.kernel.telegram import bot, cli, jobs, permissions, routes, runner
from manga_backend.kernel.telegram.service.poller import check_poller
from manga_backend.kernel.telegram.service.updates import commands
from manga_backend.kernel.telegram.types import BotCommand
from manga_backend.kit.app import App
from manga_backend.kit.i18n import N_
from manga_backend.kit.jobs import Schedule, schedules
from manga_backend.kit.jobs import jobs as job_registry
from manga_backend.kit.leader import add_duty
from manga_backend.kit.principal import grants


def init_app(app: App) -> None:
    """Called once by create_app()."""
    grants.register(app, permissions.READ_SYSTEM, "support")
    add_duty(app, "telegram", runner.poll)
    job_registry.register(app, "telegram.purge", jobs.purge_updates)
    schedules.register(app, "telegram.purge", Schedule("telegram.purge", timedelta(hours=6)))
    checks.register(app, "telegram", check_poller)
    carriers.register(app, "telegram", jobs.send_backup)
    app.api.register_blueprint(routes.webhook)
    app.cli.add_command(cli.telegram)
    examinations.register(app, "telegram", cli.examine)
    system = BotCommand(bot.system, N_("How this server fares"), permissions.READ_SYSTEM)
    commands.register(app, "system", system)
