"""What every gateway can do, in words of ours."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from manga_backend.kernel.backoffice.types import Actor, Channel

SOURCE = "cryptomus"
PROVIDER = Actor(key=f"gateway:{SOURCE}", label="Cryptomus", channel=Channel.SYSTEM)
"""Who decides when its word is enough."""


class CheckoutStatus(StrEnum):
    """Only `paid` moves money; `underpaid` and `failed` are final and move none."""

    WAITING = "waiting"
    PAID = "paid"
    UNDERPAID = "underpaid"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Checkout:
    """A page on which somebody pays. `order_id` is ours; `amount` is a decimal string of what was
    asked, `paid` of what came."""

    order_id: str
    status: CheckoutStatus
    amount: str
    currency: str
    url: str | None = None
    expires_at: datetime | None = None
    paid: str | None = None
    reference: str | None = None


class RemittanceStatus(StrEnum):
    """`paid` and `failed` are final; what failed never left the provider."""

    UNDER_WAY = "under_way"
    PAID = "paid"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Remittance:
    """Money that the provider sends for us. `order_id` is ours; `amount` is a decimal string of
    what was asked; `reason` is the provider's word for why it failed."""

    order_id: str
    status: RemittanceStatus
    amount: str
    currency: str
    tx_hash: str | None = None
    reference: str | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Incoming:
    """A webhook whose signature was right: what it is known by, and what it tells."""

    event_id: str
    about: Checkout | Remittance


class Gateway(Protocol):
    """One provider. All calls may be repeated: it knows our order ids. They raise GatewayAway when
    no usable answer came, and GatewayRefused when the answer is no."""

    def create_checkout(
        self, order_id: str, amount: str, currency: str, callback_url: str | None
    ) -> Checkout:
        """Make the page, or find the one that was made for this order."""

    def find_checkout(self, order_id: str) -> Checkout | None:
        """How it stands at the provider; None only when it says that it does not know it."""

    def send(
        self, order: Remittance, network: str, address: str, callback: str | None
    ) -> Remittance:
        """Have money sent, or find how the sending that was asked for before stands."""

    def find_remittance(self, order_id: str) -> Remittance | None:
        """How it stands; None only when the provider says that it does not know it."""

    def read_webhook(self, body: bytes) -> Incoming | None:
        """None when the signature is wrong, or there is none."""
