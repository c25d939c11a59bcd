"""States, limits and values of urgent orders."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

PRODUCT = "urgent"
CURRENCY = "RUB"
RUBLE = 100
"""Minor units in one."""
TAKE_PRICE = 2 * RUBLE
"""What an executor pays to see a contact (seeds/003)."""
MAX_EXECUTORS = 3
LIFETIME = timedelta(minutes=60)
ANSWER_WITHIN = timedelta(minutes=15)
"""After the first take: a client who is silent for so long loses the order, executors nothing."""
COMPLETABLE_FOR = timedelta(hours=24)
"""After its hour, for an order whose client had answered."""
ORDERS_PER_HOUR = 10
ID_CHARACTERS = 12
MOST_RUBLES = 100_000
"""In one recharge."""
MAX_CHOICES = 20
"""Categories, and cities, that one executor may follow."""


class OrderStatus(StrEnum):
    """active → expired | deleted | closed_no_response | completed; expired → completed when the
    client had answered."""

    ACTIVE = "active"
    EXPIRED = "expired"
    DELETED = "deleted"
    CLOSED_NO_RESPONSE = "closed_no_response"
    COMPLETED = "completed"


class Frequency(StrEnum):
    """How often an executor hears of new orders."""

    INSTANT = "instant"
    HOURLY = "hourly"
    DAILY = "daily"
    OFF = "off"


class RechargeMethod(StrEnum):
    """How rubles come into the wallet."""

    STARS = "telegram_stars"
    GATEWAY = "cryptomus"
    CRYPTO = "crypto"
    DEV = "dev"


class ComplaintStatus(StrEnum):
    """pending → upheld | dismissed, once."""

    PENDING = "pending"
    UPHELD = "upheld"
    DISMISSED = "dismissed"


@dataclass(frozen=True, slots=True)
class OrderDraft:
    """What a client asks for; texts as they are shown."""

    category: str
    description: str
    city: str
    contact: str


@dataclass(frozen=True, slots=True)
class OrderFilter:
    """Which orders of the public list; None: all."""

    status: OrderStatus = OrderStatus.ACTIVE
    category: str | None = None
    city: str | None = None
    search: str | None = None


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody as the others of an order see them."""

    user_id: int
    public_id: str
    telegram_id: int | None
    first_name: str
    username: str | None
