"""Where Telegram brings updates in webhook mode."""

from __future__ import annotations

import hmac
from typing import Any

from flask import request

from manga_backend.kernel.telegram.errors import WebhookOff, WebhookSecretWrong
from manga_backend.kernel.telegram.schemas import UpdateSchema, WebhookAnswerSchema
from manga_backend.kernel.telegram.service import updates
from manga_backend.kernel.telegram.settings import WEBHOOK_PATH, TelegramSettings
from manga_backend.kit.db import commit
from manga_backend.kit.http import Blueprint
from manga_backend.kit.principal import public, unlimited
from manga_backend.kit.settings import settings

SECRET_HEADER = "X-Telegram-Bot-Api-Secret-Token"  # noqa: S105

webhook = Blueprint("telegram_webhook", __name__, description="For Telegram alone.")


@webhook.before_request
def check_secret() -> None:
    """Before the body is even read: only Telegram knows the secret."""
    config = settings(TelegramSettings)
    if not config.enabled:
        raise WebhookOff
    given = request.headers.get(SECRET_HEADER, "")
    if not hmac.compare_digest(given.encode(), config.webhook_secret.encode()):
        raise WebhookSecretWrong


@webhook.route(WEBHOOK_PATH, methods=["POST"])
@unlimited
@public
@webhook.refuses(WebhookSecretWrong, WebhookOff)
@webhook.arguments(UpdateSchema)
@webhook.response(200, WebhookAnswerSchema)
def receive(update: dict[str, Any]) -> Any:
    """Store an update, handle it, answer what it asks with the answer itself."""
    updates.store_update(update)
    # Kept before it is handled: a fault in handling rolls back its own work, not the update,
    # which the leader then tries again; and handle_update has a transaction of its own.
    commit()
    answer = updates.handle_update(update["update_id"])
    if answer is None:
        return {}
    return {"method": answer.method, **answer.params}
