"""A shop with a payment gateway."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conftest import Deployment
from tests.standins.cryptomus import CryptomusStandIn
from tests.standins.telegram import BotApiStandIn
from tests.support import Api
from tests.variants import variant_api


@pytest.fixture
def shop(deployment: Deployment, bot: BotApiStandIn) -> Iterator[tuple[Api, CryptomusStandIn]]:
    """The app with a Cryptomus whose webhooks come to it."""
    holder: list[Api] = []

    def deliver(_url: str, body: bytes) -> int:
        headers = {"Content-Type": "application/json"}
        return int(
            holder[0]
            .client()
            .post("/api/webhook/cryptomus", data=body, headers=headers)
            .status_code
        )

    with CryptomusStandIn(deliver=deliver) as provider:
        values = {
            "CRYPTOMUS_URL": provider.url,
            "CRYPTOMUS_MERCHANT_ID": provider.merchant,
            "CRYPTOMUS_PAYMENT_KEY": provider.payment_key,
            "CRYPTOMUS_PAYOUT_KEY": provider.payout_key,
            "WITHDRAW_BY": "gateway",
            "PUBLIC_URL": "https://api.manga.example",
        }
        with variant_api(deployment, bot, **values) as api:
            holder.append(api)
            yield api, provider
