"""Asking the provider to send, and how what it was asked to send stands."""

from __future__ import annotations

import logging
from functools import partial

from manga_backend.kernel.money.gateways.clients.cryptomus import Cryptomus
from manga_backend.kernel.money.gateways.errors import GatewayAway, GatewayRefused
from manga_backend.kernel.money.gateways.settings import GatewaySettings
from manga_backend.kernel.money.payouts import queries
from manga_backend.kernel.money.payouts.service import sending
from manga_backend.kernel.money.payouts.service.sending import Errand
from manga_backend.kit import clock
from manga_backend.kit.db import in_transaction
from manga_backend.kit.settings import settings

log = logging.getLogger(__name__)


def send_due() -> None:
    """Until none is due. Any number may do this at once, and as often as they like: the provider
    sends an order once."""
    config = settings(GatewaySettings)
    if not queries.is_any_due():
        return
    if not config.sends:
        in_transaction(sending.note_nobody_sends)
        return
    gateway = Cryptomus(config)
    while (errand := in_transaction(lambda: sending.claim_due(config.account))) is not None:
        if clock.now() < errand.leased_until:
            _run(gateway, errand, config.callback_url)


def _run(gateway: Cryptomus, errand: Errand, callback: str | None) -> None:
    told, problem = None, None
    try:
        if errand.is_given_up:
            told = gateway.find_remittance(errand.order.order_id)
        else:
            told = gateway.send(errand.order, errand.network.value, errand.address, callback)
    except GatewayAway as away:
        log.warning("the payment provider does not answer: %s", away)
        problem = str(away)
    except GatewayRefused as refusal:
        problem = str(refusal)
    in_transaction(partial(sending.record_answer, errand.payout_id, told, problem))
