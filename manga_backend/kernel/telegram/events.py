"""What happened to the reading of updates."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class PollerReturned:
    """Updates are read again after more than the 150 s for which a press can be answered."""

    away_seconds: int
