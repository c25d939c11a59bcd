"""Plugs urgent orders in."""

from __future__ import annotations

from manga_backend.kernel.approvals.service.asking import subjects
from manga_backend.kernel.backoffice.admin import add_view
from manga_backend.kernel.backoffice.messages import words
from manga_backend.kernel.backoffice.service import cards, charts
from manga_backend.kernel.identity.events import UserBanned
from manga_backend.kernel.identity.service.sessions import doors
from manga_backend.kernel.identity.types import Door
from manga_backend.kernel.money.ledger.service import styles
from manga_backend.kernel.money.ledger.types import TransferKind, WalletStyle
from manga_backend.kernel.operations.service.changes import changeable
from manga_backend.kernel.telegram.service.updates import commands, presses
from manga_backend.kernel.telegram.types import BotCommand
from manga_backend.kit.app import App
from manga_backend.kit.events import listen
from manga_backend.kit.i18n import N_, gettext_lazy
from manga_backend.kit.jobs import jobs as job_registry
from manga_backend.kit.jobs import schedules
from manga_backend.kit.live import sources
from manga_backend.kit.principal import grants
from manga_backend.products.urgent import admin, bot, jobs, messages, permissions, routes, runner
from manga_backend.products.urgent.models import Complaint, Order, Review, Take
from manga_backend.products.urgent.service.closing import close_orders_of
from manga_backend.products.urgent.service.reviews import APPROVAL_KIND, ComplaintSubject
from manga_backend.products.urgent.service.steps import ABOUT
from manga_backend.products.urgent.types import CURRENCY, PRODUCT

MAX_SESSIONS = 10
GRANTS = {
    permissions.POST_ORDERS: "user",
    permissions.TAKE_ORDERS: "user",
    permissions.USE_PROFILE: "user",
    permissions.RECHARGE: "user",
    permissions.WRITE_REVIEWS: "user",
    permissions.READ_ORDERS: "support",
    permissions.MODERATE_ORDERS: "admin",
    permissions.MODERATE_REVIEWS: "admin",
}
VIEWS = (
    (admin.OrdersView, Order, "orders", N_("Urgent orders")),
    (admin.TakesView, Take, "takes", N_("Contacts sold")),
    (admin.ReviewsView, Review, "reviews", N_("Reviews")),
    (admin.ComplaintsView, Complaint, "complaints", N_("Complaints")),
)
WORDS = {
    "closed_no_response": N_("Closed without an answer"),
    "deleted": N_("Deleted"),
    "dismissed": N_("Dismissed"),
    "upheld": N_("Upheld"),
}
CHANGEABLE = {
    "RUB_PER_STAR": N_("Rubles for one Telegram Star"),
    "RUB_PER_USDT": N_("Rubles for one USDT"),
}


def init_app(app: App) -> None:
    """Called by create_app() when PRODUCTS names urgent."""
    for right, role in GRANTS.items():
        grants.register(app, right, role)
    doors.register(app, PRODUCT, Door(lambda: MAX_SESSIONS, takes_init_data=True))
    styles.register(app, PRODUCT, WalletStyle(CURRENCY, whole=True, word_for=_word_for))
    subjects.register(app, APPROVAL_KIND, ComplaintSubject())
    listen(app, UserBanned, close_orders_of)
    for name, (run, schedule) in jobs.SCHEDULES.items():
        job_registry.register(app, name, run)
        schedules.register(app, name, schedule)
    commands.register(app, "orders", BotCommand(bot.list_open, N_("Open orders: /orders WORDS")))
    commands.register(app, "myorders", BotCommand(bot.list_own, N_("Your own orders")))
    presses.register(app, messages.ANSWER_PRESS, bot.answered)
    presses.register(app, messages.DONE_PRESS, bot.done)
    presses.register(app, messages.CLOSE_PRESS, bot.close)
    cards.register(app, permissions.READ_ORDERS, admin.cards)
    charts.register(app, permissions.READ_ORDERS, admin.charts)
    for view, model, name, title in VIEWS:
        add_view(app, view(model, gettext_lazy(title), f"panel_urgent_{name}"))
    for word, meaning in WORDS.items():
        words.register(app, word, meaning)
    for setting, meaning in CHANGEABLE.items():
        changeable.register(app, setting, meaning)
    sources.register(app, runner.SOURCE, runner.OrderFeed())
    for blueprint in (routes.orders, routes.users, routes.balance, routes.words):
        app.api.register_blueprint(blueprint)


def _word_for(kind: TransferKind, subject: str) -> str:
    """In the document's words."""
    if kind is TransferKind.TOP_UP:
        return "recharge"
    if kind is TransferKind.SALE and subject.startswith(ABOUT):
        return "order_take"
    return kind.value
