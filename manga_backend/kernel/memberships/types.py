"""Why a subscription changed, and how near its end is."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Source(StrEnum):
    """What gave or took time."""

    PAYMENT = "payment"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Extended:
    """The subscription after a change."""

    started_at: datetime
    expires_at: datetime


class NoticeStage(StrEnum):
    """How near the end of a subscription was when the user was told."""

    THREE_DAYS = "three_days"
    ONE_DAY = "one_day"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class EndAt:
    """A place in the order of ends: where the next batch goes on."""

    expires_at: datetime
    id: uuid.UUID


@dataclass(frozen=True, slots=True)
class Account:
    """Whose subscriptions a chat asks about."""

    user_id: int
    label: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class PlanDraft:
    """A plan as it is typed in the panel: `names` by language, `price` in minor units."""

    code: str
    product: str
    names: dict[str, str]
    days: int
    price: int
    currency: str
    is_default: bool
    is_on_sale: bool
    position: int
