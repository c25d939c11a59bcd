"""Refusals of broadcasts."""

from __future__ import annotations

from manga_backend.kernel.broadcasts.messages import REFUSED_IN
from manga_backend.kernel.broadcasts.types import State
from manga_backend.kit.i18n import N_, gettext
from manga_backend.kit.problems import DomainError


class BroadcastNotFound(DomainError):
    """No broadcast has this id."""

    status = 404
    code = "broadcast_not_found"
    detail = N_("There is no such broadcast.")


class StepNotAllowed(DomainError):
    """Not in its present state, which `errors` names."""

    status = 409
    code = "broadcast_step_not_allowed"
    detail = N_("The present state of the broadcast does not allow this.")

    def __init__(self, state: State) -> None:
        super().__init__({"state": [state.value]})
        self.state = state

    def message(self) -> str:
        """Says which state it is."""
        return gettext(REFUSED_IN[self.state])


class NoTelegramChat(DomainError):
    """Whoever asks for a test has no Telegram id here."""

    status = 409
    code = "no_telegram_chat"
    detail = N_("Link your Telegram account first: the test is sent to you there.")


class BotIsOff(DomainError):
    """A test needs the bot."""

    status = 409
    code = "telegram_off"
    detail = N_("The Telegram bot is switched off.")
