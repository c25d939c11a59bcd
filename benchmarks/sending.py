"""Messages: the outbox drained, and a broadcast sent, in a process of its own."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable

from sqlalchemy import text

from manga_backend.app import create_app
from manga_backend.kernel.backoffice.types import CLI
from manga_backend.kernel.broadcasts import queries
from manga_backend.kernel.broadcasts.service import drafts, sending
from manga_backend.kernel.broadcasts.types import Draft, State
from manga_backend.kernel.notifications import runner as outbox
from manga_backend.kit.db import transaction

CLEAR = "DELETE FROM notifications"
AUDIENCE = """
UPDATE users SET language = 'uz'
WHERE id IN (SELECT id FROM users WHERE telegram_id IS NOT NULL ORDER BY id LIMIT :count)
"""
DUE = """
INSERT INTO notifications (channel, kind, user_id, chat_id, text, priority, status, attempts,
                           due_at, created_at)
SELECT 'telegram', 'bench', id, telegram_id, 'Your subscription ends in three days.', 5, 'new', 0,
       now(), now()
FROM users WHERE telegram_id IS NOT NULL ORDER BY id LIMIT :count
"""


DRAFT = Draft({"en": "Chapter 1100 is here", "uz": "1100-bob chiqdi"}, language="uz")


def drain(count: int) -> int:
    """So many messages that wait already; returns how many were sent."""
    with transaction() as current:
        current.execute(text(DUE), {"count": count})
    return outbox.drain()


def broadcast(count: int) -> int:
    """One text to so many people, from the press of the button on: fed into the outbox, sent, and
    finished."""
    with transaction() as current:
        current.execute(text(AUDIENCE), {"count": count})
    with transaction():
        written = drafts.create_broadcast(DRAFT, CLI).id
    with transaction():
        sending.start(written, CLI)
    sent = 0
    while True:
        with transaction():
            sending.feed_next(written)
        sent += outbox.drain()
        with transaction():
            if queries.get_broadcast(written).state is not State.RUNNING:
                return sent


def main(what: str, count: int) -> None:
    """Prints CPU seconds of this process, and how long it took, as JSON."""
    app = create_app(os.environ)
    with app.app_context():
        with transaction() as current:
            current.execute(text(CLEAR))
        began, used = time.perf_counter(), time.process_time()
        found: dict[str, float] = {"sent": WAYS[what](count)}
        found["cpu_seconds"] = time.process_time() - used
        found["seconds"] = time.perf_counter() - began
    print(json.dumps(found))


WAYS: dict[str, Callable[[int], int]] = {"drain": drain, "broadcast": broadcast}


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
