"""What providers told us is handled beside requests, and forgotten in the end."""

from __future__ import annotations

from manga_backend.kernel.money.gateways import service
from manga_backend.kernel.money.gateways.clients.cryptomus import Cryptomus
from manga_backend.kernel.money.gateways.settings import GatewaySettings
from manga_backend.kit.db import in_transaction
from manga_backend.kit.settings import settings


def handle_webhooks() -> None:
    """What nobody has handled yet."""
    gateway = Cryptomus(settings(GatewaySettings))
    while in_transaction(lambda: service.handle_stored(gateway.read_webhook)) == service.BATCH:
        pass


def forget_old() -> None:
    """What was handled long ago."""
    while in_transaction(service.forget_old) == service.BATCH:
        pass
