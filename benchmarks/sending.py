"""Messages: the outbox drained, in a process of its own."""

from __future__ import annotations

import json
import os
import sys
import time

from sqlalchemy import text

from manga_backend.app import create_app
from manga_backend.kernel.notifications import runner as outbox
from manga_backend.kit.db import transaction

CLEAR = "DELETE FROM notifications"
DUE = """
INSERT INTO notifications (channel, kind, user_id, chat_id, text, priority, status, attempts,
                           due_at, created_at)
SELECT 'telegram', 'bench', id, telegram_id, 'Your subscription ends in three days.', 5, 'new', 0,
       now(), now()
FROM users WHERE telegram_id IS NOT NULL ORDER BY id LIMIT :count
"""


def main(count: int) -> None:
    """Prints CPU seconds of this process, and how long it took, as JSON."""
    app = create_app(os.environ)
    with app.app_context():
        with transaction() as current:
            current.execute(text(CLEAR))
            current.execute(text(DUE), {"count": count})
        began, used = time.perf_counter(), time.process_time()
        found: dict[str, float] = {"sent": outbox.drain()}
        found["cpu_seconds"] = time.process_time() - used
        found["seconds"] = time.perf_counter() - began
    print(json.dumps(found))


if __name__ == "__main__":
    main(int(sys.argv[1]))
