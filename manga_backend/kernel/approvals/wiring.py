"""Plugs the desk in."""

from __future__ import annotations

from datetime import timedelta

from manga_backend.kernel.approvals import admin, bot, jobs, permissions
from manga_backend.kernel.approvals.queries import read_numbers
from manga_backend.kernel.approvals.service import asking
from manga_backend.kernel.approvals.types import OPTION, Decision
from manga_backend.kernel.backoffice.admin import add_view
from manga_backend.kernel.backoffice.service import cards
from manga_backend.kernel.operations.service.changes import changeable
from manga_backend.kernel.operations.service.health import alarm_sinks
from manga_backend.kernel.operations.service.metrics import numbers
from manga_backend.kernel.telegram.events import PollerReturned
from manga_backend.kernel.telegram.service.updates import commands, presses
from manga_backend.kernel.telegram.types import BotCommand
from manga_backend.kit.app import App
from manga_backend.kit.events import listen
from manga_backend.kit.i18n import N_, gettext_lazy
from manga_backend.kit.jobs import Schedule, schedules
from manga_backend.kit.jobs import jobs as job_registry
from manga_backend.kit.principal import grants


def init_app(app: App) -> None:
    """Called once by create_app()."""
    changeable.register(app, "FOUR_EYES_ABOVE", N_("Two admins must approve above so many USDT"))
    changeable.register(
        app,
        "APPROVAL_REMINDER_MINUTES",
        N_("Minutes until an undecided question is asked again; 0: never"),
    )
    grants.register(app, permissions.READ_DESK, "support")
    grants.register(app, permissions.DECIDE, "admin")
    presses.register(app, Decision.APPROVE.value, bot.approve)
    presses.register(app, OPTION, bot.approve)
    presses.register(app, Decision.REJECT.value, bot.reject)
    pending = BotCommand(bot.pending, N_("Questions that wait for a decision"), permissions.DECIDE)
    commands.register(app, "pending", pending)
    job_registry.register(app, "approvals.remind", jobs.remind)
    schedules.register(app, "approvals.remind", Schedule("approvals.remind", timedelta(minutes=1)))
    listen(app, PollerReturned, asking.ask_again_after_absence)
    alarm_sinks.register(app, "admins", jobs.tell_admins)
    numbers.register(app, "approvals", read_numbers)
    cards.register(app, permissions.READ_DESK, admin.cards)
    view = admin.DeskView(gettext_lazy("Desk"), endpoint="panel_desk", url="/admin/desk")
    add_view(app, view)
