"""Plugs broadcasts in."""

from __future__ import annotations

from datetime import timedelta

from manga_backend.kernel.backoffice.admin import add_view
from manga_backend.kernel.broadcasts import admin, bot, jobs, permissions, routes, runner
from manga_backend.kernel.broadcasts.events import BroadcastEnded
from manga_backend.kernel.telegram.service.updates import commands, presses
from manga_backend.kernel.telegram.types import BotCommand
from manga_backend.kit.app import App
from manga_backend.kit.events import listen
from manga_backend.kit.i18n import N_, gettext_lazy
from manga_backend.kit.jobs import Schedule, schedules
from manga_backend.kit.jobs import jobs as job_registry
from manga_backend.kit.leader import add_duty
from manga_backend.kit.principal import grants


def init_app(app: App) -> None:
    """Called once by create_app()."""
    grants.register(app, permissions.READ_BROADCASTS, "support")
    grants.register(app, permissions.SEND_BROADCASTS, "admin")
    words = N_("Write to many users at once")
    write = BotCommand(bot.write, words, permissions.SEND_BROADCASTS)
    commands.register(app, "broadcast", write)
    presses.register(app, bot.WORD, bot.press)
    app.api.register_blueprint(routes.system)
    listen(app, BroadcastEnded, bot.show_end)
    job_registry.register(app, "broadcasts.settle", jobs.settle)
    schedules.register(
        app, "broadcasts.settle", Schedule("broadcasts.settle", timedelta(minutes=5))
    )
    add_duty(app, "broadcasts", runner.keep_feeding)
    title = gettext_lazy("Broadcasts")
    add_view(app, admin.BroadcastsView(title, endpoint="panel_broadcasts", url="/admin/broadcasts"))
