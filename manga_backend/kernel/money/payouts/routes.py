"""/payment/withdraw: money from the wallet to an address."""

from __future__ import annotations

import uuid
from typing import Any

from flask_smorest.pagination import PaginationParameters

from manga_backend.kernel.money.chains.types import Network
from manga_backend.kernel.money.ledger.errors import NotEnoughMoney
from manga_backend.kernel.money.payouts import errors, queries, schemas
from manga_backend.kernel.money.payouts.permissions import READ_OWN_PAYOUTS, WITHDRAW
from manga_backend.kernel.money.payouts.service.request import cancel_payout, request_payout
from manga_backend.kit.http import Blueprint, paged
from manga_backend.kit.idempotency import REFUSALS, idempotent
from manga_backend.kit.principal import principal, require

withdrawals = Blueprint(
    "payouts_withdrawals",
    __name__,
    url_prefix="/payment/withdraw",
    description="Money from the wallet to an address of the caller's.",
)


@withdrawals.route("", methods=["POST"])
@require(WITHDRAW)
@idempotent
@withdrawals.refuses(
    errors.WithdrawalsOff,
    errors.AmountOutOfRange,
    errors.TooManyPayouts,
    errors.NotWithdrawable,
    NotEnoughMoney,
    *REFUSALS,
)
@withdrawals.arguments(schemas.WithdrawSchema)
@withdrawals.response(202, schemas.PayoutSchema)
def withdraw(body: dict[str, Any]) -> Any:
    """Reserve an amount of the wallet and ask for it to be sent. Send an Idempotency-Key."""
    network, address = Network(body["network"]), body["address"].strip()
    return request_payout(principal().user_id, body["amount"], network, address)


@withdrawals.route("")
@require(READ_OWN_PAYOUTS)
@withdrawals.response(200, schemas.PayoutSchema(many=True))
@withdrawals.paginate()
def list_payouts(pagination_parameters: PaginationParameters) -> Any:
    """The caller's withdrawals, newest first."""
    return paged(queries.own_payouts(principal().user_id), pagination_parameters)


@withdrawals.route("/limits")
@require(READ_OWN_PAYOUTS)
@withdrawals.refuses(errors.WithdrawalsOff)
@withdrawals.response(200, schemas.LimitsSchema)
def get_limits() -> Any:
    """What the caller may withdraw, and where to: what to show before the form."""
    return schemas.as_limits(queries.get_limits(principal().user_id))


@withdrawals.route("/<uuid:payment_id>")
@require(READ_OWN_PAYOUTS)
@withdrawals.refuses(errors.PayoutNotFound)
@withdrawals.response(200, schemas.PayoutSchema)
def get_payout(payment_id: uuid.UUID) -> Any:
    """One of the caller's withdrawals."""
    return queries.get_own_payout(principal().user_id, payment_id)


@withdrawals.route("/<uuid:payment_id>", methods=["DELETE"])
@require(WITHDRAW)
@withdrawals.refuses(errors.PayoutNotFound, errors.PayoutMovedOn)
@withdrawals.response(200, schemas.PayoutSchema)
def cancel(payment_id: uuid.UUID) -> Any:
    """Take it back, as long as nobody has decided."""
    return cancel_payout(principal().user_id, payment_id)
