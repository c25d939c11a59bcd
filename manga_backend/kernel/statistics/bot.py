"""/stats: one's own numbers, or the site's for whoever may read them."""

from __future__ import annotations

from manga_backend.kernel.identity.service.telegram import staff_actor
from manga_backend.kernel.memberships.queries import get_account_of_chat, sum_days_bought
from manga_backend.kernel.money.payments.queries import count_purchases
from manga_backend.kernel.statistics import queries, schemas
from manga_backend.kernel.statistics.permissions import READ_STATS
from manga_backend.kernel.telegram.types import Command, Message
from manga_backend.kit.i18n import language, render

OWN_STATS = "messages/own_stats.html"
SITE_STATS = "messages/site_stats.html"


def stats(command: Command) -> Message:
    """Since when, how often and how many days; for admins the numbers of the dashboard."""
    if staff_actor(command.sender.id, READ_STATS) is not None:
        seen = schemas.as_stats(queries.overview([queries.today()]))
        return Message(render(SITE_STATS, language(), **seen))
    account = get_account_of_chat(command.sender.id)
    text = render(
        OWN_STATS,
        language(),
        account=account,
        purchases=count_purchases(account.user_id),
        days=sum_days_bought(account.user_id),
    )
    return Message(text)
