"""Plugs the outbox in."""

from __future__ import annotations

from datetime import timedelta

from flask import Flask

from manga_backend.kernel.backoffice.admin import add_view
from manga_backend.kernel.notifications import admin, cli, jobs, routes, runner
from manga_backend.kernel.notifications.models import Notification
from manga_backend.kernel.notifications.permissions import (
    CLEAR_INBOX,
    READ_INBOX,
    READ_OUTBOX,
    REGISTER_DEVICE,
    RETRY,
)
from manga_backend.kernel.notifications.queries import count_waiting_for, read_numbers
from manga_backend.kernel.notifications.service import outbox
from manga_backend.kernel.operations.service.changes import changeable
from manga_backend.kernel.operations.service.health import sweepers
from manga_backend.kernel.operations.service.metrics import numbers
from manga_backend.kernel.telegram.service.updates import reply_through
from manga_backend.kernel.telegram.types import Message
from manga_backend.kit.app import App
from manga_backend.kit.i18n import N_, gettext_lazy
from manga_backend.kit.jobs import Schedule, schedules
from manga_backend.kit.jobs import jobs as job_registry
from manga_backend.kit.leader import Stop, add_duty
from manga_backend.kit.principal import grants
from manga_backend.kit.settings import CoreSettings, settings

MOST_REPLIES_WAITING = 10


def init_app(app: App) -> None:
    """Called once by create_app()."""
    changeable.register(app, "NOTIFICATION_RETENTION_DAYS", N_("Days that messages are kept"))
    for right in (READ_INBOX, CLEAR_INBOX, REGISTER_DEVICE):
        grants.register(app, right, "user")
    grants.register(app, READ_OUTBOX, "support")
    grants.register(app, RETRY, "admin")
    app.api.register_blueprint(routes.inbox)
    job_registry.register(app, outbox.DELIVER, jobs.deliver)
    job_registry.register(app, "notifications.purge", jobs.purge)
    schedules.register(
        app, "notifications.purge", Schedule("notifications.purge", timedelta(days=1))
    )
    reply_through.register(app, "outbox", _reply)
    add_duty(app, "delivery", _deliver_when_embedded)
    sweepers.register(app, "notifications", runner.deliver_here)
    app.cli.add_command(cli.notifications)
    numbers.register(app, "notifications", read_numbers)
    name = gettext_lazy("Notifications")
    add_view(app, admin.NotificationsView(Notification, name, "panel_notifications"))


def _reply(chat_id: int, message: Message) -> None:
    """Not in the lane of decisions, and no more than a few at a time: anyone may ask the bot."""
    if count_waiting_for(chat_id) < MOST_REPLIES_WAITING:
        outbox.notify_chat(chat_id, message, kind="reply")


def _deliver_when_embedded(app: Flask, stop: Stop) -> None:
    """With Redis the workers deliver; without, the leader does."""
    with app.app_context():
        embedded = not settings(CoreSettings).redis_url
    if embedded:
        runner.deliver_here(app, stop)
    else:
        stop.wait()
