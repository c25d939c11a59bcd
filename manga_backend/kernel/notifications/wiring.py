"""Plugs the outbox in."""

from __future__ import annotations

from flask import Flask

from manga_backend.kernel.notifications import cli, jobs, routes, runner
from manga_backend.kernel.notifications.permissions import READ_INBOX
from manga_backend.kernel.notifications.service import outbox
from manga_backend.kernel.notifications.types import Priority
from manga_backend.kernel.operations.service import sweepers
from manga_backend.kernel.telegram.service.updates import reply_through
from manga_backend.kernel.telegram.types import Message
from manga_backend.kit.app import App
from manga_backend.kit.jobs import jobs as job_registry
from manga_backend.kit.leader import Stop, add_duty
from manga_backend.kit.principal import grants
from manga_backend.kit.settings import CoreSettings, settings


def init_app(app: App) -> None:
    """Called once by create_app()."""
    grants.register(app, READ_INBOX, "user")
    app.api.register_blueprint(routes.inbox)
    job_registry.register(app, outbox.DELIVER, jobs.deliver)
    reply_through.register(app, "outbox", _reply)
    add_duty(app, "delivery", _deliver_when_embedded)
    sweepers.register(app, "notifications", runner.deliver_here)
    app.cli.add_command(cli.notifications)


def _reply(chat_id: int, message: Message) -> None:
    outbox.notify_chat(chat_id, message, kind="reply", priority=Priority.DECISION)


def _deliver_when_embedded(app: Flask, stop: Stop) -> None:
    """With Redis the workers deliver; without, the leader does."""
    with app.app_context():
        embedded = not settings(CoreSettings).redis_url
    if embedded:
        runner.deliver_here(app, stop)
    else:
        stop.wait()
