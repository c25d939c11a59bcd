"""What comes to our addresses: kept once, and matched with the intent of exactly its amount."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

from sqlalchemy import select

from manga_backend.kernel.approvals.service.asking import file_approval
from manga_backend.kernel.backoffice.types import Actor, Channel
from manga_backend.kernel.identity.queries import get_user
from manga_backend.kernel.money.chains.domain import in_minor, judge
from manga_backend.kernel.money.chains.types import Arrivals, Chain, Expected, Transaction
from manga_backend.kernel.money.payments import messages, queries
from manga_backend.kernel.money.payments.models import (
    ChainCursor,
    ChainTransfer,
    Invoice,
    Payment,
    PaymentIntent,
)
from manga_backend.kernel.money.payments.service.decide import PaymentSubject, is_large
from manga_backend.kernel.money.payments.service.intents import settle_intent
from manga_backend.kernel.money.payments.service.steps import open_payment, reopen_invoice
from manga_backend.kernel.money.payments.service.submit import APPROVAL_KIND
from manga_backend.kernel.money.payments.service.verify import as_json
from manga_backend.kernel.money.payments.settings import PaymentSettings
from manga_backend.kernel.money.payments.types import IntentStatus, Method
from manga_backend.kernel.notifications.service.outbox import notify_log_channel
from manga_backend.kernel.telegram.types import Message
from manga_backend.kit import clock
from manga_backend.kit.db import insert_or, session
from manga_backend.kit.i18n import render
from manga_backend.kit.settings import settings

log = logging.getLogger(__name__)

MATCHED_WITHIN = timedelta(days=7)
"""How long a transfer that belongs to an intent is kept trying: somebody else's claim on its hash
may have to be rejected first."""
AUTOMATON = Actor(key="system:intents", label="AUTO_APPROVE", channel=Channel.SYSTEM)


def keep(chain: Chain, found: Arrivals) -> None:
    """Keep what came and how far was read, in one transaction. What came before is known by
    (network, hash, index), so reading a stretch twice changes nothing."""
    now = clock.now()
    rows = [
        {
            "network": chain.network,
            "tx_hash": one.tx_hash,
            "log_index": one.log_index,
            "address": chain.address,
            "sender": one.sender,
            "raw_amount": str(one.raw_amount),
            "amount": in_minor(one.raw_amount, chain.decimals),
            "block_time": transaction.block_time or now,
            "seen_at": now,
        }
        for transaction in found.transactions
        if transaction.succeeded
        for one in transaction.incoming
    ]
    if rows:
        session().execute(insert_or(ChainTransfer).values(rows).on_conflict_do_nothing())
    values = {"cursor": found.cursor, "read_at": now, "problem": None}
    _keep_cursor(chain, values)


def note_problem(chain: Chain, words: str) -> None:
    """The source is away: shown in the panel and by readiness."""
    values = {"cursor": "", "read_at": clock.now(), "problem": words}
    _keep_cursor(chain, values, only=("problem", "read_at"))


def _keep_cursor(chain: Chain, values: dict[str, object], only: tuple[str, ...] = ()) -> None:
    changed = {name: values[name] for name in only} if only else values
    session().execute(
        insert_or(ChainCursor)
        .values(network=chain.network, address=chain.address, **values)
        .on_conflict_do_update(
            index_elements=[ChainCursor.network, ChainCursor.address], set_=changed
        )
    )


def match_waiting(chain: Chain, limit: int) -> int:
    """Give transfers that no payment has yet to the intents of their amounts; returns how many.

    Locks the transfers; those that others hold are passed over. May run twice and at once: an
    intent is settled once, and a hash belongs to one payment by an index.
    """
    oldest = clock.now() - MATCHED_WITHIN
    waiting = session().scalars(
        select(ChainTransfer)
        .where(
            ChainTransfer.network == chain.network,
            ChainTransfer.address == chain.address,
            ChainTransfer.payment_id.is_(None),
            ChainTransfer.seen_at >= oldest,
        )
        .order_by(ChainTransfer.seen_at, ChainTransfer.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    return sum(_match(chain, arrived) for arrived in list(waiting))


def _match(chain: Chain, arrived: ChainTransfer) -> bool:
    taken = queries.find_live_payment(arrived.tx_hash)
    if taken is not None:
        if not queries.is_claim_of_another(taken, arrived.amount, arrived.block_time):
            arrived.payment_id = taken.id
            session().flush()
        return False
    intent = queries.find_intent_of_amount(
        chain.network, arrived.amount, arrived.block_time, chain.address
    )
    if intent is None:
        return False
    in_time = intent.status is IntentStatus.OPEN and arrived.block_time <= intent.expires_at
    if not settle_intent(intent.id):
        return False
    payment = _payment_of(chain, arrived, intent)
    arrived.payment_id = payment.id
    session().flush()
    trusted = settings(PaymentSettings).auto_approves_intents and not is_large(payment)
    if in_time and trusted:
        _approve(payment)
    else:
        file_approval(APPROVAL_KIND, str(payment.id))
    return True


def _payment_of(chain: Chain, arrived: ChainTransfer, intent: PaymentIntent) -> Payment:
    """Pending, with the verdict that the watcher has already: only confirmed transfers arrive."""
    invoice = session().get_one(Invoice, intent.invoice_id)
    reopen_invoice(invoice, AUTOMATON.key)
    expected = Expected(intent.amount, intent.created_at - queries.CLOCKS_DIFFER)
    payment = open_payment(
        invoice,
        AUTOMATON.key,
        method=Method.CRYPTO,
        network=chain.network,
        tx_hash=arrived.tx_hash,
        address=intent.address,
        intent_id=intent.id,
        verification=as_json(judge(_seen(chain, arrived), expected, chain))
        | ({"late": True} if arrived.block_time > intent.expires_at else {}),
    )
    return payment


def _seen(chain: Chain, arrived: ChainTransfer) -> Transaction:
    from_log = queries.as_incoming(arrived)
    return Transaction(
        arrived.tx_hash,
        succeeded=True,
        incoming=(from_log,),
        block_number=0,
        block_time=arrived.block_time,
        confirmations=chain.confirmations,
        final=True,
    )


def _approve(payment: Payment) -> None:
    """Without a person: only here, and only for the exact amount of an open intent, in time."""
    PaymentSubject().approve(str(payment.id), AUTOMATON)
    user = get_user(payment.user_id)
    line = render(messages.AUTO_LOG, None, payment=payment, username=user.label)
    notify_log_channel(Message(line), kind="payment_auto_approved", subject=f"payment:{payment.id}")


def reads_since() -> datetime:
    """From when on a network that was never read is read."""
    return clock.now() - timedelta(hours=2)
