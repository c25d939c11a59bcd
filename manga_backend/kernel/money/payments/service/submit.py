"""Paying by a transaction hash or by a coupon."""

from __future__ import annotations

from sqlalchemy.exc import IntegrityError

from manga_backend.kernel.approvals.service.asking import file_approval
from manga_backend.kernel.identity.service.sessions import lock_user
from manga_backend.kernel.money.chains.service import read_hash
from manga_backend.kernel.money.chains.settings import ChainSettings
from manga_backend.kernel.money.chains.types import Network, Verdict
from manga_backend.kernel.money.payments import queries
from manga_backend.kernel.money.payments.errors import TooManyPending, TransactionAlreadyUsed
from manga_backend.kernel.money.payments.models import Payment
from manga_backend.kernel.money.payments.service.steps import invoice_and_payment
from manga_backend.kernel.money.payments.types import (
    CheaperSource,
    GiftSource,
    Method,
    Offer,
    OfferSource,
)
from manga_backend.kit import clock
from manga_backend.kit.db import violates
from manga_backend.kit.i18n import gettext
from manga_backend.kit.jobs import wake
from manga_backend.kit.problems import InvalidInput
from manga_backend.kit.registry import Registry
from manga_backend.kit.settings import settings

APPROVAL_KIND = "payment"
VERIFY = "payments.verify"
MAX_PENDING = 3
MAX_RESUBMISSIONS = 3
"""How often a user may send a hash again after it was rejected or expired (two-manga.md)."""

offers: Registry[OfferSource] = Registry("payments.offers")
"""`plan`: what a plan code costs."""

cheaper_offers: Registry[CheaperSource] = Registry("payments.cheaper_offers")
"""`plan`: what less than a plan's price buys."""

gifts: Registry[GiftSource] = Registry("payments.gifts")
"""`days`: what a coupon of days gives."""


def offer_of(plan: str | None) -> Offer:
    """What a plan, or the default one, costs now. InvalidInput."""
    offer = offers["plan"](plan)
    if offer is None:
        raise InvalidInput({"plan": [gettext("There is no such plan.")]})
    return offer


def submit_transaction(
    user_id: int, tx_hash: str, network: Network | None = None, plan: str | None = None
) -> Payment:
    """Claim a transaction as payment for a plan; it waits for an admin.

    Refusals: InvalidInput (unknown plan, wrong shape), TransactionAlreadyUsed, TooManyPending.
    Locks the user; the hash is unique among pending and approved payments by an index, so of any
    number of callers at once one succeeds.
    """
    known = settings(ChainSettings)
    chosen = network or known.default_network
    offer = offer_of(plan)
    address = queries.receiving_addresses().get(chosen.value)
    stored = read_hash(chosen, tx_hash)
    payer = lock_user(user_id)
    standing = queries.standing_of(payer.id, stored)
    if standing["is_taken"] or standing["sent_before"] > MAX_RESUBMISSIONS:
        raise TransactionAlreadyUsed
    if standing["waiting"] >= MAX_PENDING:
        raise TooManyPending
    try:
        payment = invoice_and_payment(
            payer.id,
            offer,
            f"user:{payer.id}",
            method=Method.CRYPTO,
            network=chosen,
            tx_hash=stored,
            address=address,
            verification={"verdict": Verdict.UNCHECKED.value},
            verify_at=clock.now() if address and chosen in known.readable else None,
        )
    except IntegrityError as error:
        if violates(error, Payment.tx_hash):
            raise TransactionAlreadyUsed from None
        raise
    file_approval(APPROVAL_KIND, str(payment.id))
    if payment.verify_at is not None:
        wake(VERIFY)
    return payment
