"""The feeder: keeps a few seconds of each running broadcast in the outbox."""

from __future__ import annotations

import logging
import threading

from flask import Flask

from manga_backend.kernel.broadcasts import queries
from manga_backend.kernel.broadcasts.service import sending
from manga_backend.kit.db import DATABASE_AWAY, transaction
from manga_backend.kit.leader import Stop
from manga_backend.kit.logging import Outage

log = logging.getLogger(__name__)

IDLE_SECONDS = 5.0
RUNNING_SECONDS = 0.5


def feed(stop: threading.Event | None = None) -> bool:
    """Fill up the outbox for each running broadcast; False when there is none.

    Any number may do this at once, and a kill -9 at any point queues nobody twice.
    """
    if not queries.is_any_running():
        return False
    with transaction():
        running = queries.list_running_ids()
    for broadcast_id in running:
        room: int | None = None
        while room != 0 and not (stop and stop.is_set()):
            with transaction():
                room = sending.feed_next(broadcast_id, room)
    return True


def keep_feeding(app: Flask, stop: Stop) -> None:
    """The leader's duty. A database that is away is waited for and logged once."""
    database = Outage(log, "broadcasts wait, the database is away", "broadcasts go on")
    while not stop.is_set():
        pause = IDLE_SECONDS
        try:
            with app.app_context():
                if feed(stop):
                    pause = RUNNING_SECONDS
            database.ends()
        except DATABASE_AWAY as error:
            database.begins(str(error).splitlines()[0])
        with stop.idle():
            stop.wait(pause)
