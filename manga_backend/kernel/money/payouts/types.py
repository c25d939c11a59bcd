"""Where a payout stands, and who sends it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from manga_backend.kernel.money.chains.types import Network
from manga_backend.kit.money import Money

NETWORKS = tuple(network for network in Network if network is not Network.BITCOIN)
"""Those that have USDT."""


class PayoutStatus(StrEnum):
    """pending → processing → paid | failed; pending → cancelled."""

    PENDING = "pending"
    PROCESSING = "processing"
    PAID = "paid"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Limits:
    """What one user may withdraw at once."""

    withdrawable: Money
    least: Money
    most: Money


class Sender(StrEnum):
    """`none`: nobody may withdraw; `gateway`: the provider sends; `hand`: an admin sends it and
    writes down the hash."""

    NONE = "off"
    GATEWAY = "gateway"
    HAND = "hand"
