"""What happens to messages."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class MessageGivenUp:
    """It will not be tried again: refused for good, or for too long."""

    notification_id: int
