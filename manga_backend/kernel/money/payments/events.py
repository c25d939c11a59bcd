"""What happened to payments."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime

from manga_backend.kernel.money.payments.types import Method


@dataclass(frozen=True, kw_only=True)
class PaymentApproved:
    """Money (or a coupon) was accepted; the invoice is paid and fulfilled."""

    payment_id: uuid.UUID
    user_id: int
    method: Method
    amount: int
    currency: str
    at: datetime


@dataclass(frozen=True, kw_only=True)
class PaymentRejected:
    """An admin said no."""

    payment_id: uuid.UUID
    user_id: int
    method: Method
