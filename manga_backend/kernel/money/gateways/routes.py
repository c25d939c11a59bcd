"""/api/webhook/cryptomus: payments and payouts of all products."""

from __future__ import annotations

from typing import Any

from flask import request

from manga_backend.kernel.backoffice.service import record_audit
from manga_backend.kernel.backoffice.types import Actor, Channel
from manga_backend.kernel.money.gateways import errors, schemas, service
from manga_backend.kernel.money.gateways.clients.cryptomus import Cryptomus
from manga_backend.kernel.money.gateways.settings import WEBHOOK_PREFIX, GatewaySettings
from manga_backend.kernel.money.gateways.types import PROVIDER, SOURCE
from manga_backend.kit.http import Blueprint
from manga_backend.kit.principal import public, unlimited
from manga_backend.kit.settings import settings

webhooks = Blueprint(
    "gateways_webhooks",
    __name__,
    url_prefix=WEBHOOK_PREFIX,
    description="What payment providers tell us.",
)


@webhooks.route(f"/{SOURCE}", methods=["POST"])
@public
@unlimited
@webhooks.refuses(errors.SignatureWrong)
@webhooks.response(200, schemas.TakenSchema)
def take_webhook() -> Any:
    """Stored once, however often it is delivered; handled after this answer."""
    body = request.get_data()
    incoming = Cryptomus(settings(GatewaySettings)).read_webhook(body)
    if incoming is None:
        who = Actor(PROVIDER.key, PROVIDER.label, Channel.API, None, request.remote_addr)
        record_audit(who, "webhook.refused", "webhook", SOURCE)
        raise errors.SignatureWrong
    service.keep(SOURCE, incoming, body.decode())
    return {"taken": True}
