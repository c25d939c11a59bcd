"""/api/balance."""

from __future__ import annotations

from typing import Any

from flask_smorest.pagination import PaginationParameters

from manga_backend.kernel.money.ledger import queries, schemas
from manga_backend.kernel.money.ledger.permissions import READ_OWN_WALLET
from manga_backend.kernel.money.ledger.service import styles
from manga_backend.kit.http import Blueprint, paged_rows
from manga_backend.kit.principal import principal, require

USUAL_CURRENCY = "USDT"

wallet = Blueprint(
    "ledger_wallet", __name__, url_prefix="/api/balance", description="The caller's wallet."
)


@wallet.route("")
@require(READ_OWN_WALLET, init_data=True)
@wallet.arguments(schemas.CurrencySchema, location="query")
@wallet.response(200, schemas.BalanceSchema)
def get_balance(query: dict[str, Any]) -> Any:
    """What the caller may spend, in one currency: that of the product that the caller came through,
    if none is named."""
    style = styles.find(principal().product)
    currency = query.get("currency") or (style.currency if style else USUAL_CURRENCY)
    return schemas.as_balance(queries.find_wallet(principal().user_id, currency), style)


@wallet.route("/transactions")
@require(READ_OWN_WALLET, init_data=True)
@wallet.arguments(schemas.CurrencySchema, location="query")
@wallet.response(200, schemas.WalletTransferSchema(many=True))
@wallet.paginate()
def list_transactions(query: dict[str, Any], pagination_parameters: PaginationParameters) -> Any:
    """What went into and out of the caller's wallets, newest first."""
    style = styles.find(principal().product)
    currency = query.get("currency") or (style.currency if style else None)
    transfers = queries.wallet_transfers(principal().user_id, currency)
    return [schemas.as_transfer(row, style) for row in paged_rows(transfers, pagination_parameters)]
