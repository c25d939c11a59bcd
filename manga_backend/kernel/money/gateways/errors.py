"""Why a gateway did not do what was asked."""

from __future__ import annotations

from manga_backend.kit.i18n import N_
from manga_backend.kit.problems import DomainError


class GatewayAway(Exception):
    """No usable answer: network, time-out, 5xx, or something that is not the API."""


class GatewayRefused(Exception):
    """The provider said no; its words are for admins. `is_unknown`: because it has never heard of
    the order, and for no other reason."""

    def __init__(self, words: str, *, is_unknown: bool = False) -> None:
        super().__init__(words)
        self.is_unknown = is_unknown


class GatewayOff(DomainError):
    """No gateway is set up."""

    status = 422
    code = "gateway_off"
    detail = N_("Paying by this way is not available.")


class GatewayUnavailable(DomainError):
    """It is set up, and does not answer now."""

    status = 503
    code = "gateway_unavailable"
    detail = N_("The payment provider does not answer. Please try again shortly.")


class SignatureWrong(DomainError):
    """Not from the provider."""

    status = 403
    code = "signature_wrong"
    detail = N_("The signature is missing or wrong.")
    keeps_changes = True
