"""What admins read on Telegram."""

from __future__ import annotations

QUESTION = "messages/question.html"
QUESTION_AGAIN = "messages/question_again.html"
PENDING = "messages/pending.html"
DECIDED = "messages/decided.html"
LOG_LINE = "messages/decided_log.html"

KIND = "approval"


def subject_key(approval_id: object) -> str:
    """What the messages about one approval are found by."""
    return f"approval:{approval_id}"
