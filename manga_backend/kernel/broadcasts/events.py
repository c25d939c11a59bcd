"""What happened to broadcasts."""

from __future__ import annotations

import uuid
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class BroadcastEnded:
    """The last message has left, or it was cancelled; told again when its counts were put right."""

    broadcast_id: uuid.UUID
