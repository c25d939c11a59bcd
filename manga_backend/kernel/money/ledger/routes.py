"""/api/balance."""

from __future__ import annotations

from typing import Any

from flask_smorest.pagination import PaginationParameters

from manga_backend.kernel.money.ledger import queries, schemas
from manga_backend.kernel.money.ledger.permissions import READ_OWN_WALLET
from manga_backend.kit.http import Blueprint, paged_rows
from manga_backend.kit.principal import principal, require

wallet = Blueprint(
    "ledger_wallet", __name__, url_prefix="/api/balance", description="The caller's wallet."
)


@wallet.route("")
@require(READ_OWN_WALLET)
@wallet.arguments(schemas.CurrencySchema, location="query")
@wallet.response(200, schemas.BalanceSchema)
def get_balance(query: dict[str, Any]) -> Any:
    """What the caller may spend, in one currency."""
    return schemas.as_balance(queries.find_wallet(principal().user_id, query["currency"]))


@wallet.route("/transactions")
@require(READ_OWN_WALLET)
@wallet.response(200, schemas.WalletTransferSchema(many=True))
@wallet.paginate()
def list_transactions(pagination_parameters: PaginationParameters) -> Any:
    """What went into and out of the caller's wallets, newest first."""
    found = paged_rows(queries.wallet_transfers(principal().user_id), pagination_parameters)
    return [schemas.as_transfer(row) for row in found]
