"""What an approved payment writes into the book."""

from __future__ import annotations

import uuid
from dataclasses import replace

from manga_backend.kernel.money.chains.types import Verdict
from manga_backend.kernel.money.ledger.service import own_account, transfer, wallet_account
from manga_backend.kernel.money.ledger.types import AccountKind, Move, TransferKind
from manga_backend.kernel.money.payments.errors import NotRefundable
from manga_backend.kernel.money.payments.models import Payment
from manga_backend.kernel.money.payments.types import Fulfilled, Item, Method
from manga_backend.kit.i18n import gettext
from manga_backend.kit.money import Money

TOP_UP = "wallet.top_up"
"""The fulfilment of an invoice for money in the wallet."""
CREDIT = "wallet.credit"
"""That of a gift for it."""
EXCHANGE = "wallet.exchange"
"""That of money in the wallet that is paid for in another currency."""
FILL_THE_WALLET = (TOP_UP, CREDIT, EXCHANGE)


class WalletFulfilment:
    """Money for the wallet: the book has it already, so all that is left is to say how much."""

    def fulfil(self, item: Item, payment_id: uuid.UUID) -> Fulfilled:
        """Run by the approval, after `book`."""
        return Fulfilled(credit=Money(int(item.details["amount"]), item.details["currency"]))

    def undo(self, item: Item, payment_id: uuid.UUID, reason: str) -> None:
        """Never: what went into the wallet is not refunded into it."""
        raise NotRefundable

    def facts(self, item: Item) -> list[tuple[str, str]]:
        """That it is for the wallet."""
        return [(gettext("For"), gettext("the wallet"))]


def received_by(payment: Payment) -> int | None:
    """What really came, in minor units, as far as the chain was read to the end. Of an intent the
    few decimals that name it don't count."""
    seen = payment.verification or {}
    counts = seen.get("verdict") in (Verdict.MATCH, Verdict.TOO_MUCH, Verdict.TOO_LITTLE)
    known = counts and seen.get("final") and not payment.intent_id and seen.get("amount")
    return int(seen["amount"]) if known else None


def book(payment: Payment) -> int:
    """Book a payment with its invoice loaded, once: its key is the payment's. Returns what went to
    the wallet, in minor units: what really came and exceeds the invoice. What is missing of the
    invoice, when it was accepted nevertheless, is a gift of ours.

    NotEnoughMoney when it is paid from a wallet that has too little.
    """
    invoice = payment.invoice
    if not invoice.amount:
        return 0
    received = received_by(payment)
    subject = f"payment:{payment.id}"
    payer = _payer(payment, subject)
    moves = [_sale(payment, payer, subject)]
    excess = 0 if received is None else received - invoice.amount
    if excess < 0:
        moves = _short_sale(moves[0], -excess)
    if excess > 0:
        moves.append(
            Move(
                kind=TransferKind.EXCESS,
                debit_account_id=payer,
                credit_account_id=wallet_account(payment.user_id, invoice.currency),
                amount=excess,
                currency=invoice.currency,
                key=f"{subject}:excess",
                subject=subject,
            )
        )
    if invoice.fulfilment == EXCHANGE:
        moves.append(credit_of(payment))
    transfer(moves)
    return max(0, excess)


def credit_of(payment: Payment) -> Move:
    """What an exchange puts into the wallet, in the other currency."""
    subject = f"payment:{payment.id}"
    currency = payment.invoice.item["currency"]
    return Move(
        kind=TransferKind.TOP_UP,
        debit_account_id=own_account(AccountKind.EXCHANGE, "", currency, subject),
        credit_account_id=wallet_account(payment.user_id, currency),
        amount=int(payment.invoice.item["amount"]),
        currency=currency,
        key=f"{subject}:credit",
        subject=subject,
    )


def reversed_move(move: Move, kind: TransferKind, key: str) -> Move:
    """The same amount back."""
    return replace(
        move,
        kind=kind,
        debit_account_id=move.credit_account_id,
        credit_account_id=move.debit_account_id,
        key=key,
    )


def sale_of(payment: Payment) -> Move:
    """What its payer gave for a payment."""
    subject = f"payment:{payment.id}"
    return _sale(payment, _payer(payment, subject), subject)


def _short_sale(sale: Move, missing: int) -> list[Move]:
    """The sale of so much as came, and a gift of the rest."""
    gift = replace(
        sale,
        kind=TransferKind.GIFT,
        debit_account_id=own_account(AccountKind.GIFTS, "", sale.currency, sale.key),
        amount=missing,
        key=f"{sale.key}:missing",
    )
    came = sale.amount - missing
    return [replace(sale, amount=came), gift] if came else [gift]


def sold(payment: Payment) -> int:
    """What a product earns by a payment, in minor units: nothing when it fills the wallet, and
    what we gave in place of what was missing is not earned."""
    if payment.invoice.fulfilment in FILL_THE_WALLET:
        return 0
    received = received_by(payment)
    return payment.invoice.amount if received is None else min(received, payment.invoice.amount)


def unbook(payment: Payment, reason: str, actor: str) -> int:
    """Book a refund, once: what was really paid goes into the wallet, and what we had given goes
    back to us. Returns the former, in minor units."""
    invoice = payment.invoice
    subject = f"payment:{payment.id}"
    paid = sold(payment)
    revenue = own_account(AccountKind.REVENUE, invoice.product, invoice.currency, subject)
    back = {
        f"{subject}:refund": (wallet_account(payment.user_id, invoice.currency), paid),
        f"{subject}:missing:refund": (
            own_account(AccountKind.GIFTS, "", invoice.currency, subject),
            invoice.amount - paid,
        ),
    }
    transfer(
        [
            Move(
                kind=TransferKind.REFUND,
                debit_account_id=revenue,
                credit_account_id=account,
                amount=amount,
                currency=invoice.currency,
                key=key,
                subject=subject,
                note=reason,
                actor=actor,
            )
            for key, (account, amount) in back.items()
            if amount
        ]
    )
    return paid


def _payer(payment: Payment, key: str) -> int:
    """From where it came: the user's wallet, one of our addresses, or a gateway."""
    currency = payment.currency
    if payment.method is Method.WALLET:
        return wallet_account(payment.user_id, currency)
    name = payment.network.value if payment.network is not None else payment.method.value
    return own_account(AccountKind.RECEIVED, name, currency, key)


def _sale(payment: Payment, payer: int, subject: str) -> Move:
    invoice = payment.invoice
    if invoice.fulfilment == TOP_UP:
        kind, credited = TransferKind.TOP_UP, wallet_account(payment.user_id, invoice.currency)
    elif invoice.fulfilment == EXCHANGE:
        kind = TransferKind.EXCHANGE
        credited = own_account(AccountKind.EXCHANGE, "", invoice.currency, subject)
    else:
        kind = TransferKind.SALE
        credited = own_account(AccountKind.REVENUE, invoice.product, invoice.currency, subject)
    return Move(
        kind=kind,
        debit_account_id=payer,
        credit_account_id=credited,
        amount=invoice.amount,
        currency=invoice.currency,
        key=subject,
        subject=subject,
    )
