"""Money for the wallet that is paid for in another currency."""

from __future__ import annotations

from manga_backend.kernel.money.ledger.service import own_account, transfer, wallet_account
from manga_backend.kernel.money.ledger.types import AccountKind, Move, TransferKind
from manga_backend.kernel.money.payments.service.booking import EXCHANGE
from manga_backend.kernel.money.payments.types import Offer
from manga_backend.kit.db import new_id
from manga_backend.kit.money import Money
from manga_backend.kit.settings import CoreSettings, settings


def recharge_offer(credit: Money, price: Money) -> Offer:
    """So much credit for so much of another currency."""
    return Offer(
        product="wallet",
        code="recharge",
        title="Top-up",
        price=price,
        fulfilment=EXCHANGE,
        item={"amount": credit.amount, "currency": credit.currency},
    )


def recharge_for_nothing(user_id: int, credit: Money) -> None:
    """Credit at once, in development alone: RuntimeError elsewhere."""
    if not settings(CoreSettings).development:
        raise RuntimeError("only in development")
    key = f"development:{new_id()}"
    ours = own_account(AccountKind.RECEIVED, "development", credit.currency, key)
    transfer(
        [
            Move(
                kind=TransferKind.TOP_UP,
                debit_account_id=ours,
                credit_account_id=wallet_account(user_id, credit.currency),
                amount=credit.amount,
                currency=credit.currency,
                key=key,
                subject=key,
            )
        ]
    )
