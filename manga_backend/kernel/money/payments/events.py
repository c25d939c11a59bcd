"""What happened to payments."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime

from manga_backend.kernel.money.payments.types import Method


@dataclass(frozen=True, kw_only=True)
class PaymentApproved:
    """Money (or a coupon) was accepted; the invoice is paid and fulfilled.

    `sold` is what a product earned by it, in minor units; nothing when it filled the wallet.
    """

    payment_id: uuid.UUID
    user_id: int
    method: Method
    sold: int
    currency: str
    at: datetime


@dataclass(frozen=True, kw_only=True)
class PaymentRefunded:
    """What was sold for `amount` (minor units) was taken back, its price put into the wallet."""

    payment_id: uuid.UUID
    user_id: int
    amount: int
    currency: str


@dataclass(frozen=True, kw_only=True)
class PaymentRejected:
    """An admin said no."""

    payment_id: uuid.UUID
    user_id: int
    method: Method
