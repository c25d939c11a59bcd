"""States of invoices and payments, and what plugs into them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from manga_backend.kit.money import Money


class InvoiceStatus(StrEnum):
    """draft → open → paid | expired | cancelled; paid → refunded; expired → open: its money came
    late."""

    DRAFT = "draft"
    OPEN = "open"
    PAID = "paid"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    REFUNDED = "refunded"


class PaymentStatus(StrEnum):
    """pending → approved | rejected | expired, once."""

    PENDING = "pending"
    APPROVED = "approved"
    REJECTED = "rejected"
    EXPIRED = "expired"


class IntentStatus(StrEnum):
    """open → settled | expired | cancelled; expired → settled when the transfer came late."""

    OPEN = "open"
    SETTLED = "settled"
    EXPIRED = "expired"
    CANCELLED = "cancelled"


class Method(StrEnum):
    """A way to pay."""

    CRYPTO = "crypto"
    COUPON = "coupon"
    WALLET = "wallet"
    GATEWAY = "gateway"
    STARS = "telegram_stars"


@dataclass(frozen=True, slots=True)
class Offer:
    """What a plan or another thing on sale costs, and what happens when it is paid."""

    product: str
    code: str
    title: str
    price: Money
    fulfilment: str
    item: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Item:
    """What an invoice is for, as its fulfilment sees it."""

    user_id: int
    product: str
    code: str
    title: str
    details: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Fulfilled:
    """What the user got."""

    days_added: int | None = None
    expires_at: datetime | None = None
    credit: Money | None = None


OfferSource = Callable[[str | None], Offer | None]
"""Plan code, or None for the default → the offer, or None if there is none."""

CheaperSource = Callable[[str, Money], Offer | None]
"""(plan code, what came) → the best offer below that plan for so much, or None."""

GiftSource = Callable[[str, int], Offer | None]
"""(plan code, days) → an offer of exactly these days at no price."""
