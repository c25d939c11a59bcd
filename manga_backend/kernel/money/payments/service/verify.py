"""What the chain says of payments: claim (transaction) → ask (none) → record (transaction)."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select

from manga_backend.kernel.approvals.service.asking import refresh_question
from manga_backend.kernel.money.chains.settings import ChainSettings
from manga_backend.kernel.money.chains.types import ASK_AGAIN, Chain, Expected, Finding, Verdict
from manga_backend.kernel.money.payments import queries
from manga_backend.kernel.money.payments.models import Payment, PaymentIntent
from manga_backend.kernel.money.payments.service.submit import APPROVAL_KIND
from manga_backend.kernel.money.payments.types import Method, PaymentStatus
from manga_backend.kit import clock
from manga_backend.kit.db import session
from manga_backend.kit.settings import settings

LEASE = timedelta(seconds=60)
FIRST_PAUSE_SECONDS = 10
LONGEST_PAUSE_SECONDS = 300
GIVE_UP_AFTER = timedelta(hours=24)
BATCH = 20


@dataclass(frozen=True, slots=True)
class Asked:
    """One payment to be looked at; no row is held while the chain is asked."""

    payment_id: uuid.UUID
    chain: Chain
    tx_hash: str
    expected: Expected
    leased_until: datetime


def claim_due() -> list[Asked]:
    """Lease pending payments whose time to be asked about has come; rows of others are skipped.

    What no source can be asked about any more (a network that is not read now) is let go.
    """
    now = clock.now()
    due = session().scalars(
        select(Payment)
        .where(
            Payment.status == PaymentStatus.PENDING,
            Payment.method == Method.CRYPTO,
            Payment.verify_at <= now,
        )
        .order_by(Payment.verify_at)
        .limit(BATCH)
        .with_for_update(skip_locked=True)
    )
    asked = []
    readable = settings(ChainSettings).readable
    for payment in due:
        chain = readable.get(payment.network) if payment.network else None
        if chain is None or payment.tx_hash is None or payment.address is None:
            payment.verify_at = None
            continue
        chain = replace(chain, address=payment.address)  # ours at that time
        payment.verify_at = now + LEASE
        payment.verify_attempts += 1
        asked.append(
            Asked(payment.id, chain, payment.tx_hash, _expected(payment), payment.verify_at)
        )
    session().flush()
    return asked


def _expected(payment: Payment) -> Expected:
    """The amount of its intent and not before it; of a bare hash the price, and not too old."""
    if payment.intent_id is not None:
        intent = session().get_one(PaymentIntent, payment.intent_id)
        return Expected(intent.amount, intent.created_at - queries.CLOCKS_DIFFER)
    oldest = payment.submitted_at - settings(ChainSettings).hash_max_age
    return Expected(payment.amount, oldest)


def record(asked: Asked, finding: Finding) -> None:
    """Keep a verdict, plan the next question, and show the admins what has changed.

    Nothing when the lease is another's by now or the payment was decided. May run twice.
    """
    payment = session().scalar(
        select(Payment)
        .where(
            Payment.id == asked.payment_id,
            Payment.status == PaymentStatus.PENDING,
            Payment.verify_at == asked.leased_until,
        )
        .with_for_update()
    )
    if payment is None:
        return
    before = payment.verification or {}
    payment.verification = as_json(finding) | _belongs_to_another(payment, finding)
    payment.verify_at = _next_time(payment, finding)
    session().flush()
    if _shown(before) != _shown(payment.verification):
        refresh_question(APPROVAL_KIND, str(payment.id))


def as_json(finding: Finding) -> dict[str, Any]:
    """As it is kept with the payment. Raw amounts are text: they overflow JSON's numbers."""
    return {
        "verdict": finding.verdict.value,
        "amount": finding.amount,
        "raw_amount": None if finding.raw_amount is None else str(finding.raw_amount),
        "confirmations": min(finding.confirmations, finding.needed),
        "needed": finding.needed,
        "sender": finding.sender,
        "block_time": finding.block_time.isoformat() if finding.block_time else None,
        "final": finding.final,
        "note": finding.note,
        "checked_at": clock.now().isoformat(),
    }


def _belongs_to_another(payment: Payment, finding: Finding) -> dict[str, Any]:
    """Anyone can read a hash on the chain and send it first: its amount tells whose it is."""
    if finding.amount is None or finding.block_time is None or payment.network is None:
        return {}
    owner = queries.find_intent_of_amount(payment.network, finding.amount, finding.block_time)
    if owner is None or owner.user_id == payment.user_id:
        return {}
    return {"belongs_to_another_intent": True}


def _shown(verification: dict[str, Any]) -> dict[str, Any]:
    """What admins see of it: a new time alone is no news."""
    return {name: value for name, value in verification.items() if name != "checked_at"}


def _next_time(payment: Payment, finding: Finding) -> datetime | None:
    now = clock.now()
    if finding.verdict not in ASK_AGAIN and (finding.final or finding.verdict is Verdict.TOO_OLD):
        return None
    if now - payment.submitted_at >= GIVE_UP_AFTER:
        return None
    pause = min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2 ** min(payment.verify_attempts, 8))
    return now + timedelta(seconds=pause)
