"""What keeps us from an answer of a chain."""

from __future__ import annotations


class SourceAway(Exception):
    """No usable answer. The words hold no address of the source: it may carry a key."""

    def __init__(self, words: str, retry_after_seconds: float | None = None) -> None:
        super().__init__(words)
        self.words = words
        self.retry_after_seconds = retry_after_seconds
