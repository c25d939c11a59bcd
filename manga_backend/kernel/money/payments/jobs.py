"""What runs beside requests: asking the chains, watching our addresses, closing what is over."""

from __future__ import annotations

import logging
from dataclasses import replace
from functools import partial

from manga_backend.kernel.money.chains.clients.readers import examine, list_arrivals
from manga_backend.kernel.money.chains.errors import SourceAway
from manga_backend.kernel.money.chains.settings import ChainSettings
from manga_backend.kernel.money.chains.types import Chain
from manga_backend.kernel.money.gateways.clients.cryptomus import Cryptomus
from manga_backend.kernel.money.gateways.errors import GatewayAway, GatewayRefused
from manga_backend.kernel.money.gateways.settings import GatewaySettings
from manga_backend.kernel.money.payments import queries
from manga_backend.kernel.money.payments.service import arrivals, checkouts, intents, stars, verify
from manga_backend.kernel.operations.types import Check
from manga_backend.kernel.telegram.clients import BotClient
from manga_backend.kernel.telegram.errors import (
    RecipientUnreachable,
    TelegramError,
    TelegramRefused,
)
from manga_backend.kernel.telegram.settings import TelegramSettings
from manga_backend.kit.db import in_transaction, reading, transaction
from manga_backend.kit.settings import settings

log = logging.getLogger(__name__)

MATCH_BATCH = 100
EXPIRE_BATCH = 100


def verify_due() -> None:
    """Ask the chain about pending payments until none is due. Any number may do this at once."""
    if not settings(ChainSettings).readable or not queries.is_any_to_verify():
        return
    while asked := in_transaction(verify.claim_due):
        for one in asked:
            finding = examine(one.chain, one.tx_hash, one.expected)
            with transaction():
                verify.record(one, finding)


def watch() -> None:
    """Read what came to our addresses, while somebody is expected to pay, and match it."""
    readable = settings(ChainSettings).readable
    if not readable:
        return
    with reading(), transaction():
        watched = [
            replace(readable[network], address=address)
            for network, address in queries.list_watched()
            if network in readable
        ]
        cursors = [queries.find_cursor(chain) for chain in watched]
    for chain, cursor in zip(watched, cursors, strict=True):
        _watch(chain, cursor)


def _watch(chain: Chain, cursor: str | None) -> None:
    try:
        found = list_arrivals(chain, cursor, arrivals.reads_since())
    except SourceAway as away:
        log.warning("%s can't be read: %s", chain.network.value, away.words)
        with transaction():
            arrivals.note_problem(chain, away.words)
        return
    with transaction():
        arrivals.keep(chain, found)
    while in_transaction(lambda: arrivals.match_waiting(chain, MATCH_BATCH)) == MATCH_BATCH:
        pass


def expire() -> None:
    """Intents and invoices in Stars whose time is over."""
    for expire_some in (intents.expire_intents, stars.expire_unpaid):
        while in_transaction(partial(expire_some, EXPIRE_BATCH)) == EXPIRE_BATCH:
            pass


def refund_stars() -> None:
    """Have Telegram give back what is due, until none is. Any number may do this at once, and as
    often as they like: Telegram gives a charge back once."""
    config = settings(TelegramSettings)
    if not config.enabled:
        return
    client = BotClient(config)
    while (errand := in_transaction(stars.claim_refund)) is not None:
        problem, is_final = None, False
        try:
            client.refund_stars(errand.payer_id, errand.charge_id)
        except TelegramError as error:
            problem = error.description
            is_final = isinstance(error, TelegramRefused | RecipientUnreachable)
        in_transaction(partial(stars.record_refund, errand.charge_id, problem, is_final=is_final))


def poll_checkouts() -> None:
    """Ask the provider about orders whose webhook may never come."""
    config = settings(GatewaySettings)
    if not config.enabled:
        return
    gateway = Cryptomus(config)
    for order_id in in_transaction(checkouts.claim_orders_to_poll):
        try:
            checkout = gateway.find_checkout(order_id)
        except (GatewayAway, GatewayRefused) as trouble:
            log.warning("the payment provider says nothing of an order: %s", trouble)
            return
        if checkout is not None:
            in_transaction(partial(checkouts.settle, replace(checkout, order_id=order_id)))


def readiness() -> Check:
    """The sources of the chains that are watched."""
    chains = settings(ChainSettings).readable
    if not chains:
        return Check(True, "none is read: no <NETWORK>_RPC_URL is set")
    problems = queries.list_chain_problems()
    if problems:
        return Check(False, "; ".join(f"{name}: {words}" for name, words in problems))
    return Check(True, ", ".join(network.value for network in chains))
