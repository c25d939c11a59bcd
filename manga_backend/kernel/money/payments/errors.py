"""Refusals of payments."""

from __future__ import annotations

from manga_backend.kit.i18n import N_
from manga_backend.kit.problems import DomainError


class TransactionAlreadyUsed(DomainError):
    """The hash is pending or approved, or this user sent it too often."""

    status = 409
    code = "transaction_already_used"
    detail = N_("This transaction has been sent before.")


class TooManyPending(DomainError):
    """Three payments of this user wait already."""

    status = 409
    code = "too_many_pending"
    detail = N_("Three of your payments are already waiting for a decision. Please wait for it.")


class PaymentNotFound(DomainError):
    """No payment of the caller has this id."""

    status = 404
    code = "payment_not_found"
    detail = N_("There is no such payment.")


class PaymentNotPending(DomainError):
    """It was decided before."""

    status = 409
    code = "already_decided"
    detail = N_("This payment has already been decided.")


class NetworkNotWatched(DomainError):
    """Nothing that comes on this network would be noticed."""

    status = 422
    code = "network_not_watched"
    detail = N_("Payments on %(network)s are not seen by themselves. Please send the hash instead.")


class TooManyIntents(DomainError):
    """Three promises of this user, or five invoices of one method, are open already."""

    status = 409
    code = "too_many_pending"
    detail = N_("You have started several payments. Please finish one of them first.")


class IntentNotFound(DomainError):
    """No intent of the caller has this id."""

    status = 404
    code = "intent_not_found"
    detail = N_("There is no such payment.")


class NotRefundable(DomainError):
    """It is not paid, was refunded before, or there is nothing to give back."""

    status = 409
    code = "not_refundable"
    detail = N_("This payment can't be refunded.")


class InvoiceNotFound(DomainError):
    """No invoice of the caller has this id."""

    status = 404
    code = "invoice_not_found"
    detail = N_("There is no such invoice.")
