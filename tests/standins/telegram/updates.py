"""The queue of updates: long polls, confirmation by offset, expiry, and who may fetch when."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from .model import ApiError, Clock, ConnectionDropped, Json, Monitor

LONG_POLL_MAX_SECONDS = 50
MESSAGE_LIFE_SECONDS = 86_400
REPEATED_CONFLICT_SECONDS = 3.0
# An offset further ahead than this is no confirmation but a mistake (TDLib, TQueue.cpp).
FUTURE_OFFSET = 10
LEFT_OUT_BY_DEFAULT = {"chat_member", "message_reaction", "message_reaction_count"}

WEBHOOK_ACTIVE = (
    "can't use getUpdates method while webhook is active; use deleteWebhook to delete the webhook"
    " first"
)
OTHER_POLL = (
    "terminated by other getUpdates request; make sure that only one bot instance is running"
)
SET_WEBHOOK = "terminated by setWebhook request"


@dataclass(slots=True)
class Update:
    update_id: int
    kind: str
    payload: Json
    expires_at: float

    def to_api(self) -> Json:
        return {"update_id": self.update_id, self.kind: self.payload}


@dataclass(slots=True)
class UpdateRecord:
    """What became of an update: "pending", "confirmed", "forgotten" or "expired"."""

    update_id: int
    kind: str
    deliveries: int = 0
    outcome: str = "pending"


@dataclass
class Webhook:
    url: str = ""
    secret_token: str = ""
    max_connections: int = 40
    last_error_date: int = 0
    last_error_message: str = ""
    gone_since: float = 0.0  # since when it has answered nothing but 410


@dataclass
class Poll:
    """A getUpdates request that is waiting; `conflict` is set by whoever ends it."""

    alive: Callable[[], bool]
    conflict: str = ""


@dataclass
class UpdateQueue:
    monitor: Monitor
    clock: Clock
    callback_life_seconds: float
    # Starting at the clock keeps ids growing when a deleted state file makes the queue start anew:
    # a bot that stored its offset would otherwise confirm the new updates unread.
    last_update_id: int = field(default_factory=lambda: int(time.time()))
    pending: list[Update] = field(default_factory=list)
    records: dict[int, UpdateRecord] = field(default_factory=dict)
    webhook: Webhook = field(default_factory=Webhook)
    allowed_updates: list[str] = field(default_factory=list)
    conflicts_seen: int = 0
    _waiting: Poll | None = None
    _next_conflict_at: float = 0.0
    _last_offset: int | None = None
    _last_start: float = 0.0

    @property
    def is_polled(self) -> bool:
        return self._waiting is not None

    def push(self, kind: str, payload: Json) -> int:
        """Queues an update, or drops it when the bot did not ask for this kind (id 0)."""
        with self.monitor:
            wanted = self.allowed_updates
            if (kind not in wanted) if wanted else (kind in LEFT_OUT_BY_DEFAULT):
                return 0
            is_press = kind in ("callback_query", "pre_checkout_query")
            life = self.callback_life_seconds if is_press else MESSAGE_LIFE_SECONDS
            self.last_update_id += 1
            update = Update(self.last_update_id, kind, payload, self.clock.now() + life)
            self.pending.append(update)
            self.records[update.update_id] = UpdateRecord(update.update_id, kind)
            self.monitor.mark_updates()
            return update.update_id

    def poll(
        self, offset: int, limit: int, timeout: float, alive: Callable[[], bool]
    ) -> list[Json]:
        """One getUpdates; `alive` tells whether the client still listens."""
        with self.monitor:
            if self.webhook.url:
                raise self._conflict(WEBHOOK_ACTIVE)
            self.end_waiting_poll(OTHER_POLL)
            timeout = min(max(timeout, 0), LONG_POLL_MAX_SECONDS)
            limit = limit if 1 <= limit <= 100 else 100
            timeout, limit = self._throttle(offset, timeout, limit)
            self._confirm(offset)
            if offset > self.last_update_id + FUTURE_OFFSET:
                offset = 0
            poll = self._waiting = Poll(alive)
            deadline = time.monotonic() + timeout
            while True:
                if self.monitor.down or self.monitor.stopped:
                    if self._waiting is poll:
                        self._waiting = None
                    raise ConnectionDropped
                if poll.conflict:
                    raise self._conflict(poll.conflict)
                batch = self._batch(offset, limit)
                remaining = deadline - time.monotonic()
                if batch or remaining <= 0:
                    self._waiting = None
                    return batch
                self.monitor.for_updates.wait(remaining)

    def _batch(self, offset: int, limit: int) -> list[Json]:
        self.expire()
        updates = [update for update in self.pending if update.update_id >= offset][:limit]
        for update in updates:
            self.records[update.update_id].deliveries += 1
        return [update.to_api() for update in updates]

    def _throttle(self, offset: int, timeout: float, limit: int) -> tuple[float, int]:
        """Slows a busy loop down as the real server does (Client.cpp, getUpdates)."""
        now = time.monotonic()
        if offset == self._last_offset:
            if now < self._last_start + 3:
                timeout = max(timeout, 3)
            if now < self._last_start + 0.5:
                limit = 1
        self._last_offset, self._last_start = offset, now
        return timeout, limit

    def _confirm(self, offset: int) -> None:
        if offset < 0:
            self._settle([update.update_id for update in self.pending[:offset]], "forgotten")
        elif offset <= self.last_update_id + FUTURE_OFFSET:
            ids = [update.update_id for update in self.pending if update.update_id < offset]
            self._settle(ids, "confirmed")

    def _settle(self, update_ids: list[int], outcome: str) -> None:
        if not update_ids:
            return
        settled = set(update_ids)
        for update_id in update_ids:
            self.records[update_id].outcome = outcome
        self.pending = [update for update in self.pending if update.update_id not in settled]
        self.monitor.mark_updates()

    def settle(self, update_id: int) -> None:
        """A webhook took this update."""
        with self.monitor:
            self._settle([update_id], "confirmed")

    def forget_all(self) -> None:
        with self.monitor:
            self._settle([update.update_id for update in self.pending], "forgotten")

    def expire(self) -> None:
        with self.monitor:
            now = self.clock.now()
            self._settle([u.update_id for u in self.pending if u.expires_at <= now], "expired")

    def end_waiting_poll(self, reason: str) -> None:
        """Ends the poll that waits. One whose client is gone is no conflict: nobody is told."""
        with self.monitor:
            poll, self._waiting = self._waiting, None
            if poll is None:
                return
            poll.conflict = reason
            if reason == OTHER_POLL and poll.alive():
                self.conflicts_seen += 1
            self.monitor.mark_updates()

    def _conflict(self, reason: str) -> ApiError:
        now = time.monotonic()
        if now < self._next_conflict_at:
            return ApiError(409, reason, delay_seconds=REPEATED_CONFLICT_SECONDS)
        self._next_conflict_at = now + REPEATED_CONFLICT_SECONDS
        return ApiError(409, reason)

    def first(self) -> Update | None:
        """The update that a webhook is to get next."""
        with self.monitor:
            self.expire()
            return self.pending[0] if self.pending else None

    def webhook_info(self) -> Json:
        """The WebhookInfo object."""
        with self.monitor:
            self.expire()
            hook = self.webhook
            info: Json = {
                "url": hook.url,
                "has_custom_certificate": False,
                "pending_update_count": len(self.pending),
            }
            if hook.last_error_date:
                info["last_error_date"] = hook.last_error_date
                info["last_error_message"] = hook.last_error_message
            if hook.url:
                info |= {"max_connections": hook.max_connections, "ip_address": "127.0.0.1"}
            if self.allowed_updates:
                info["allowed_updates"] = self.allowed_updates
            return info
