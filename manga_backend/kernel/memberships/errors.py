"""Refusals of memberships."""

from __future__ import annotations

from manga_backend.kit.i18n import N_
from manga_backend.kit.problems import DomainError


class SubscriptionRequired(DomainError):
    """No active subscription."""

    status = 402
    code = "subscription_required"
    detail = N_("This needs an active subscription.")


class NoSubscription(DomainError):
    """There is nothing to take days from."""

    status = 422
    code = "no_subscription"
    detail = N_("This user has no subscription.")


class NoDefaultPlan(DomainError):
    """No plan on sale is marked as the default."""

    status = 422
    code = "no_default_plan"
    detail = N_("No plan is marked as the default.")


class ChatNotLinked(DomainError):
    """Whoever asks the bot has proved no account."""

    status = 422
    code = "chat_not_linked"
    detail = N_(
        "This chat is not linked with an account yet. To link it, sign in on the site, ask there "
        "for a Telegram link and open it here."
    )
