"""A server on loopback that speaks Cryptomus' merchant API: checkout, payouts, signed webhooks."""

from .receiver import WebhookReceiver
from .records import Invoice, Payout
from .signing import Number, php_json, signature, signed_body
from .standin import CryptomusStandIn
from .webhooks import Webhook

__all__ = [
    "CryptomusStandIn",
    "Invoice",
    "Number",
    "Payout",
    "Webhook",
    "WebhookReceiver",
    "php_json",
    "signature",
    "signed_body",
]
