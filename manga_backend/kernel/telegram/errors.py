"""What Telegram answered when it did not do what was asked, and what we refuse of it."""

from __future__ import annotations

from manga_backend.kernel.telegram.types import Purchase, Reachability
from manga_backend.kit.i18n import N_
from manga_backend.kit.problems import DomainError


class TelegramError(Exception):
    """A call failed; `description` never holds the token."""

    def __init__(self, description: str, *, code: int = 0, retry_after: int | None = None) -> None:
        super().__init__(description)
        self.description = description
        self.code = code
        self.retry_after = retry_after


class TelegramAway(TelegramError):
    """No usable answer: network, time-out, 5xx, or something that is not the Bot API."""


class TelegramBusy(TelegramError):
    """429: wait `retry_after` seconds."""


class TelegramConflict(TelegramError):
    """409: another poller or a webhook is active for this token."""


class TelegramUnauthorized(TelegramError):
    """401 or 404 on the method: the token is wrong."""


class RecipientUnreachable(TelegramError):
    """403: blocked, deactivated or kicked; or a chat that Telegram doesn't know."""

    def __init__(self, description: str, reachability: Reachability, *, code: int = 0) -> None:
        super().__init__(description, code=code)
        self.reachability = reachability


class TelegramRefused(TelegramError):
    """400: the call itself is wrong; repeating it changes nothing."""


class MessageUnchanged(TelegramRefused):
    """The edit asked for what stands there already: as good as done."""


class MessageGone(TelegramRefused):
    """The message to edit is no longer there."""


class WebhookSecretWrong(DomainError):
    """Not from Telegram: its secret is missing or another."""

    status = 403
    code = "webhook_secret_wrong"
    detail = N_("The secret token of the webhook is missing or wrong.")


class WebhookOff(DomainError):
    """The bot is switched off."""

    status = 404
    code = "webhook_off"
    detail = N_("This server runs no bot.")


class UnknownInvoice(Exception):
    """Money came for an invoice that is none of ours. A fault, so that admins hear of it, with all
    that is needed to give it back."""

    def __init__(self, purchase: Purchase) -> None:
        super().__init__(
            f"charge {purchase.charge_id} of user {purchase.sender.id}: {purchase.amount}"
            f" {purchase.currency} came for {purchase.payload!r}, which nobody knows"
        )
