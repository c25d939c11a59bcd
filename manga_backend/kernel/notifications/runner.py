"""Delivery: drains the outbox with a few messages in flight."""

from __future__ import annotations

import logging
import threading
import time
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from flask import Flask, current_app
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from manga_backend.kernel.notifications.service import delivery as service
from manga_backend.kernel.notifications.service.delivery import Outgoing
from manga_backend.kernel.notifications.service.outbox import DELIVER
from manga_backend.kernel.telegram.clients import CALL_SECONDS, BotClient
from manga_backend.kernel.telegram.errors import (
    MessageGone,
    MessageUnchanged,
    RecipientUnreachable,
    TelegramBusy,
    TelegramError,
    TelegramRefused,
)
from manga_backend.kernel.telegram.settings import TelegramSettings
from manga_backend.kit.db import transaction
from manga_backend.kit.jobs import local_flag
from manga_backend.kit.leader import Stop
from manga_backend.kit.logging import Outage
from manga_backend.kit.settings import settings

log = logging.getLogger(__name__)

IN_FLIGHT = 4
BATCH = 20
"""Small enough that a batch at Telegram's usual 0.1 s a call is done well within its lease."""
TRUST_LEASE_SECONDS = service.LEASE.total_seconds() - CALL_SECONDS - 2
"""No call begins later than this after the claim: its row may be claimed by others at 30 s."""
SWEEP_SECONDS = 2.0

_telegram = Outage(log, "messages wait, Telegram does not take them", "messages leave again")


def drain(stop: threading.Event | None = None) -> int:
    """Send all that is due now; returns how many were tried. Any number may run at once."""
    config = settings(TelegramSettings)
    if not config.enabled:
        return 0
    app: Flask = current_app._get_current_object()  # type: ignore[attr-defined]
    client = BotClient(config)
    tried = 0
    while stop is None or not stop.is_set():
        with transaction():
            batch = service.claim_due(BATCH)
        if not batch:
            return tried
        until = time.monotonic() + TRUST_LEASE_SECONDS
        by_chat: dict[int, list[Outgoing]] = defaultdict(list)
        for outgoing in batch:
            by_chat[outgoing.chat_id].append(outgoing)
        with ThreadPoolExecutor(IN_FLIGHT, thread_name_prefix="deliver") as pool:
            list(pool.map(partial(_send_in_turn, app, client, until), by_chat.values()))
        tried += len(batch)
    return tried


def _send_in_turn(app: Flask, client: BotClient, until: float, messages: list[Outgoing]) -> None:
    """One chat's messages keep their order; after a 429 the rest waits as long as Telegram asks,
    near the end of the lease it is left for the next claim."""
    with app.app_context():
        for number, outgoing in enumerate(messages):
            if time.monotonic() >= until:
                return
            wait_seconds = _send(client, outgoing)
            if wait_seconds is not None:
                unsent = [left.id for left in messages[number:]]
                with transaction():
                    service.record_busy(unsent, outgoing.chat_id, wait_seconds)
                return


def _send(client: BotClient, out: Outgoing) -> int | None:
    """Call Telegram outside any transaction, then record; the seconds that the chat has to wait,
    None when it need not."""
    message_id: int | None = None
    try:
        if out.edits_message_id is None:
            message_id = client.send_message(out.chat_id, out.text, out.buttons)
        else:
            client.edit_message(out.chat_id, out.edits_message_id, out.text, out.buttons)
    except MessageUnchanged:
        pass
    except TelegramBusy as error:
        return error.retry_after or 1
    except (RecipientUnreachable, MessageGone, TelegramRefused) as error:
        log.warning("notification %s is given up: %s", out.id, error.description)
        with transaction():
            service.record_dead(out.id, error.description)
        return None
    except TelegramError as error:
        _telegram.begins(error.description)
        with transaction():
            service.record_failed(out.id, error.description)
        return None
    _telegram.ends()
    with transaction():
        service.record_sent(out.id, message_id)
    return None


def deliver_here(app: Flask, stop: Stop) -> None:
    """A loop that delivers in this process: at once for what this process wrote, and every 2 s for
    what others did. The leader runs it without Redis, each worker as its sweeper with Redis.

    A database that is away is waited for and logged once."""
    with app.app_context():
        flag = local_flag(DELIVER)
    database = Outage(log, "messages wait, the database is away", "the database answers again")
    while not stop.is_set():
        flag.clear()
        try:
            with app.app_context():
                drain(stop)
            database.ends()
        except (OperationalError, InterfaceError, PoolTimeout) as error:
            database.begins(str(error).splitlines()[0])
        with stop.idle():
            flag.wait(SWEEP_SECONDS)
