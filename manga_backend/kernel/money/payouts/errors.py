"""Refusals of withdrawals."""

from __future__ import annotations

from manga_backend.kit.i18n import N_
from manga_backend.kit.problems import DomainError


class WithdrawalsOff(DomainError):
    """Nobody sends money here."""

    status = 422
    code = "withdrawals_off"
    detail = N_("Withdrawals are not available.")


class AmountOutOfRange(DomainError):
    """Below the least or above the most that one withdrawal may be."""

    status = 422
    code = "amount_out_of_range"
    detail = N_("A withdrawal is between %(least)s and %(most)s.")


class NotWithdrawable(DomainError):
    """The wallet has it, and a part was a gift: that is for buying."""

    status = 402
    code = "not_enough_money"
    detail = N_("Of your wallet %(amount)s can be withdrawn; gifts are for buying.")


class TooManyPayouts(DomainError):
    """Three of this user are under way."""

    status = 409
    code = "too_many_pending"
    detail = N_("Three of your withdrawals are already under way. Please wait for them.")


class PayoutNotFound(DomainError):
    """No payout of the caller has this id."""

    status = 404
    code = "payout_not_found"
    detail = N_("There is no such withdrawal.")


class PayoutInFlight(DomainError):
    """The provider has it, or may still get it: people decide only what it can't be asked about."""

    status = 409
    code = "payout_in_flight"
    detail = N_("The payment provider is sending this. Wait until it has failed for 10 minutes.")


class PayoutMovedOn(DomainError):
    """It is not where this step begins: somebody was first."""

    status = 409
    code = "already_decided"
    detail = N_("This withdrawal has already been decided.")
