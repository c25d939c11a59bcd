"""Refusals of the book."""

from __future__ import annotations

from manga_backend.kit.i18n import N_
from manga_backend.kit.problems import DomainError


class NotEnoughMoney(DomainError):
    """A wallet would go below zero."""

    status = 402
    code = "not_enough_money"
    detail = N_("There is not enough money in the wallet.")


class TransferKeyReused(DomainError):
    """The key belongs to another transfer."""

    status = 409
    code = "transfer_key_reused"
    detail = N_("This has been booked before, with other numbers.")


class TransferNotPending(DomainError):
    """It was posted or voided before."""

    status = 409
    code = "transfer_not_pending"
    detail = N_("This transfer has already been settled.")


class TransferNotFound(DomainError):
    """No transfer has this key."""

    status = 404
    code = "transfer_not_found"
    detail = N_("There is no such transfer.")
