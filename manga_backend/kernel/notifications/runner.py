"""Delivery: one engine in a process, with a few messages in flight, in the order of the lanes."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from flask import Flask, current_app

from manga_backend.kernel.notifications.domain import Hand, Together
from manga_backend.kernel.notifications.service import delivery
from manga_backend.kernel.notifications.service.governor import TurnsAhead, governor
from manga_backend.kernel.notifications.service.outbox import DELIVER
from manga_backend.kernel.notifications.settings import NotificationSettings
from manga_backend.kernel.notifications.types import Outgoing, Priority, Sent
from manga_backend.kernel.telegram.clients import LONGEST_CALL_SECONDS, BotClient
from manga_backend.kernel.telegram.errors import (
    MessageGone,
    MessageUnchanged,
    RecipientUnreachable,
    TelegramBusy,
    TelegramError,
    TelegramRefused,
)
from manga_backend.kernel.telegram.settings import TelegramSettings
from manga_backend.kernel.telegram.types import Reachability
from manga_backend.kit.alarms import is_database_away
from manga_backend.kit.db import DATABASE_AWAY, transaction
from manga_backend.kit.jobs import local_flag
from manga_backend.kit.leader import Stop
from manga_backend.kit.logging import Outage
from manga_backend.kit.pacing import Turn
from manga_backend.kit.settings import settings

log = logging.getLogger(__name__)

IN_FLIGHT = 4
"""What a kill -9 may send twice, at most."""
LARGEST_HAND = 400
HAND_SECONDS = 0.25
"""How much sending is claimed ahead: little, so that what is urgent need not wait behind it."""
TRUST_LEASE_SECONDS = delivery.LEASE.total_seconds() - LONGEST_CALL_SECONDS - 2
"""No call begins later than this after the claim: its row may be claimed by others at 30 s."""
SWEEP_SECONDS = 2.0
LOOK_UP_SECONDS = 1.0
"""How long a stop may go unnoticed while the senders are busy or rest."""
RECORD_RETRY_SECONDS = 0.5
SHORT_REST_SECONDS = 0.05

_telegram = Outage(log, "messages wait, Telegram does not take them", "messages leave again")
_database = Outage(log, "messages wait, the database is away", "the database answers again")


def drain(stop: threading.Event | None = None) -> int:
    """Send all that is due now; returns how many were tried.

    Any number of processes may do this at once; in one process one engine runs at a time.
    """
    if not settings(TelegramSettings).enabled:
        return 0
    app: Flask = current_app._get_current_object()  # type: ignore[attr-defined]
    with app.extensions.setdefault("notifications.engine", threading.Lock()):
        return _Engine(app, stop or threading.Event()).run()


class _Engine:
    """Claims into a hand, from which a few senders take."""

    def __init__(self, app: Flask, stop: threading.Event) -> None:
        self._app = app
        self._stop = stop
        self._client = BotClient(settings(TelegramSettings))
        self._governor = governor()
        self._turns = TurnsAhead(self._governor)
        self._sent = Together(self._record_sent)
        rate = settings(NotificationSettings).per_second
        self._size = min(max(2 * IN_FLIGHT, int(rate * HAND_SECONDS)), LARGEST_HAND)
        self._hand = Hand[Outgoing]()
        self._learning = threading.Lock()
        self._learned: set[int] = set()
        """Messages that were taken by private chats of which that was not known."""

    def run(self) -> int:
        """Until nothing is due, or told to stop; what nobody has begun then is given back."""
        with ThreadPoolExecutor(IN_FLIGHT, thread_name_prefix="deliver") as pool:
            senders = [pool.submit(self._send_from_hand) for _ in range(IN_FLIGHT)]
            try:
                tried = self._deal()
            finally:
                unsent = self._hand.close()
                if unsent:
                    with suppress(*DATABASE_AWAY), transaction():
                        delivery.release(unsent)
        for sender in senders:
            sender.result()
        self._note_learned()
        return tried

    def _note_learned(self) -> None:
        """Together, to save a statement for each message; what a kill or a fault loses is learned
        anew with the next message."""
        with self._learning:
            learned, self._learned = self._learned, set()
        if learned:
            with suppress(*DATABASE_AWAY), transaction():
                delivery.note_reached(learned)

    def _deal(self) -> int:
        """Claim, a little ahead of the senders; returns how many were claimed."""
        tried = 0
        while not self._stop.is_set():
            load = self._hand.load
            if _telegram.lasts and load == 0 and tried:
                break  # somebody will look again soon, whether Telegram is back
            # While Telegram is away one message at a time finds out whether it is back.
            room = (1 if _telegram.lasts else self._size) - load
            batch = []
            until = time.monotonic() + TRUST_LEASE_SECONDS  # as the lease: from before the claim
            if room > 0:
                with transaction():
                    batch = delivery.claim_due(room)
            if batch:
                self._hand.add(batch, until)
            self._note_learned()
            if batch:
                tried += len(batch)
                self._hand.wait_for_load(self._size // 2, LOOK_UP_SECONDS)
            elif load == 0:
                break
            else:
                self._hand.wait_for_load(load - 1, LOOK_UP_SECONDS)
        return tried

    def _send_from_hand(self) -> None:
        with self._app.app_context():
            while (held := self._hand.take()) is not None:
                later_seconds = self._try(held.message, held.until)
                if later_seconds is None:
                    self._hand.done(held)
                elif not self._hand.put_back(held, later_seconds):
                    self._give_back(held.message)

    def _try(self, out: Outgoing, until: float) -> float | None:
        """Whatever goes wrong ends in a retry with back-off, or with the lease."""
        try:
            return self._send_in_turn(out, until)
        except DATABASE_AWAY as error:
            log.warning("notification %s: its lease runs out: %s", out.id, _line(error))
        except Exception as error:
            log.exception("notification %s could not be sent", out.id)
            why = type(error).__name__
            with suppress(*DATABASE_AWAY):
                self._record(until, lambda: delivery.record_failed(out, why))
        return None

    def _give_back(self, out: Outgoing) -> None:
        with suppress(*DATABASE_AWAY), transaction():
            delivery.release([out])

    def _send_in_turn(self, out: Outgoing, until: float) -> float | None:
        """Send it when its turn comes; seconds to let others pass first, None when it is done."""
        if self._stop.is_set() or time.monotonic() >= until:
            self._give_back(out)
            return None
        turn = self._take_turn(out)
        while not turn.granted and turn.narrow and turn.wait_seconds <= SHORT_REST_SECONDS:
            time.sleep(turn.wait_seconds)
            turn = self._take_turn(out)
        if turn.granted:
            if self._stop.wait(max(0.0, turn.wait_seconds)) or time.monotonic() >= until:
                self._give_back(out)
            else:
                self._send(out, until)
        elif turn.narrow:
            self._put_off(out, turn.wait_seconds)
        else:
            return turn.wait_seconds
        return None

    def _take_turn(self, out: Outgoing) -> Turn:
        return self._turns.take(out, lambda most: self._hand.peek(Priority.BULK, most))

    def _put_off(self, out: Outgoing, wait_seconds: float) -> None:
        """This chat has to rest, with all that is in hand for it."""
        waiting = [out, *self._hand.withdraw(out.chat_id)]
        with transaction():
            step = self._governor.step_seconds(out.chat_id)
            delivery.put_off(waiting, out.chat_id, wait_seconds, step)

    def _send(self, out: Outgoing, until: float) -> None:
        """Call Telegram outside any transaction, then record what it said."""
        message_id: int | None = None
        try:
            if out.edits_message_id is None:
                message_id = self._client.send_message(out.chat_id, out.text, out.buttons)
            else:
                self._client.edit_message(out.chat_id, out.edits_message_id, out.text, out.buttons)
        except MessageUnchanged:
            pass
        except TelegramBusy as error:
            wait_seconds = float(error.retry_after or 1)
            self._governor.note_busy(out.chat_id, wait_seconds)
            self._put_off(out, wait_seconds)
            return
        except RecipientUnreachable as error:
            log.info("notification %s: %s", out.id, error.description)
            state, why = error.reachability, error.description
            self._record(until, lambda: delivery.record_unreachable(out, state, why))
            return
        except (MessageGone, TelegramRefused) as error:
            log.warning("notification %s is given up: %s", out.id, error.description)
            why = error.description
            self._record(until, lambda: delivery.record_refused(out, why))
            return
        except TelegramError as error:
            _telegram.begins(error.description)
            why = error.description
            self._record(until, lambda: delivery.record_failed(out, why))
            return
        self._sent.do((Sent(out, message_id), until))
        if out.chat_id > 0 and out.reachability is not Reachability.ENABLED:
            with self._learning:
                self._learned.add(out.id)
        if _telegram.ends():
            self._record(until, delivery.retry_failed_now)

    def _record_sent(self, left: Sequence[tuple[Sent, float]]) -> None:
        until = max(until for _, until in left)
        self._insist(until, lambda: delivery.record_sent([sent for sent, _ in left]))

    def _record(self, until: float, note: Callable[[], None]) -> None:
        def in_transaction() -> None:
            with transaction():
                note()

        self._insist(until, in_transaction)

    def _insist(self, until: float, record: Callable[[], None]) -> None:
        """A database that is away is asked again while the lease lasts, since what was sent and not
        recorded would be sent twice."""
        while True:
            try:
                return record()
            except DATABASE_AWAY as error:
                if is_database_away(error):
                    _database.begins(_line(error))
                if time.monotonic() >= until + LONGEST_CALL_SECONDS:
                    raise
                time.sleep(RECORD_RETRY_SECONDS)


def _line(error: Exception) -> str:
    return str(error).splitlines()[0]


def deliver_here(app: Flask, stop: Stop) -> None:
    """A loop that delivers in this process: at once for what this process wrote, and every 2 s for
    what others did. The leader runs it without Redis, each worker with Redis.

    A database that is away is waited for and logged once."""
    with app.app_context():
        flag = local_flag(DELIVER)
    while not stop.is_set():
        flag.clear()
        try:
            with app.app_context():
                drain(stop)
            _database.ends()
        except DATABASE_AWAY as error:
            _database.begins(_line(error))
        with stop.idle():
            flag.wait(SWEEP_SECONDS)
