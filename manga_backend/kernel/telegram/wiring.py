"""Plugs the bot in."""

from __future__ import annotations

from datetime import timedelta

from flask import Flask

from manga_backend.kernel.operations.service import checks
from manga_backend.kernel.telegram import cli, jobs, runner, service
from manga_backend.kit.jobs import Schedule, schedules
from manga_backend.kit.jobs import jobs as job_registry
from manga_backend.kit.leader import add_duty


def init_app(app: Flask) -> None:
    """Called once by create_app()."""
    add_duty(app, "telegram", runner.poll)
    job_registry.register(app, "telegram.purge", jobs.purge_updates)
    schedules.register(app, "telegram.purge", Schedule("telegram.purge", timedelta(hours=6)))
    checks.register(app, "telegram", service.check_poller)
    app.cli.add_command(cli.telegram)
