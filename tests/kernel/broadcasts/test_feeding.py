"""The feeder: everyone once, nobody skipped, never far ahead of the sending."""

from __future__ import annotations

import itertools
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
from sqlalchemy import update

from manga_backend.kernel.broadcasts import runner
from manga_backend.kernel.broadcasts.models import Broadcast
from manga_backend.kernel.broadcasts.service import sending
from manga_backend.kernel.broadcasts.types import State
from manga_backend.kernel.notifications.models import Notification
from manga_backend.kernel.notifications.settings import NotificationSettings
from manga_backend.kernel.notifications.types import Status
from manga_backend.kernel.telegram.settings import TelegramSettings
from manga_backend.kit import clock
from manga_backend.kit.app import App
from manga_backend.kit.leader import Stop
from tests.kernel.broadcasts.factories import (
    BOSS,
    feed,
    feed_one,
    inboxes,
    make_users,
    messages,
    report,
    start,
    write,
)
from tests.kernel.factories import at_work
from tests.support import at_once, counted_queries


@contextmanager
def rate(app: App, per_second: int) -> Iterator[None]:
    """Telegram takes so many messages a second."""
    bag = app.extensions["settings"]
    before = bag[NotificationSettings]
    bag[NotificationSettings] = replace(before, per_second=per_second)
    try:
        yield
    finally:
        bag[NotificationSettings] = before


def sent(app: App, broadcast_id: uuid.UUID, many: int | None = None) -> None:
    """As if the oldest messages had left."""
    ids = [m.id for m in messages(app, broadcast_id) if m.status is Status.NEW][:many]
    with at_work(app) as current:
        current.execute(
            update(Notification)
            .where(Notification.id.in_(ids))
            .values(status=Status.SENT, sent_at=clock.now())
        )


class TestAhead:
    def test_ten_seconds_of_sending_wait_and_no_more(self, app: App) -> None:
        users = make_users(app, 25)
        with rate(app, 1):
            broadcast_id = start(app)
            for _ in range(3):
                assert feed(app) is True
                assert len(messages(app, broadcast_id)) == 10
            sent(app, broadcast_id, 4)
            feed(app)
            assert len(messages(app, broadcast_id)) == 14
            for _ in range(4):
                sent(app, broadcast_id)
                feed(app)
        assert inboxes(app, broadcast_id) == users
        assert report(app, broadcast_id).state is State.FINISHED

    def test_users_without_a_chat_do_not_stop_it(self, app: App) -> None:
        make_users(app, 25, reachable=False)
        with rate(app, 1):
            broadcast_id = start(app)
            for _ in range(4):
                feed(app)
        assert len(inboxes(app, broadcast_id)) == 25
        assert report(app, broadcast_id).state is State.FINISHED

    def test_each_of_two_has_its_own(self, app: App) -> None:
        make_users(app, 25)
        with rate(app, 1):
            first, second = start(app), start(app)
            feed(app)
        assert len(messages(app, first)) == len(messages(app, second)) == 10


class TestFinish:
    def test_not_before_the_last_has_left(self, app: App) -> None:
        make_users(app, 3)
        broadcast_id = start(app)
        feed(app)
        feed(app)
        found = report(app, broadcast_id)
        assert (found.state, found.percent, found.counts.left) == (State.RUNNING, 0, 0)
        sent(app, broadcast_id, 2)
        feed(app)
        found = report(app, broadcast_id)
        assert (found.state, found.percent, found.counts.sent) == (State.RUNNING, 66, 2)
        sent(app, broadcast_id)
        feed(app)
        found = report(app, broadcast_id)
        assert (found.state, found.percent) == (State.FINISHED, 100)
        assert found.finished_at is not None
        assert feed(app) is False

    def test_at_once_when_it_is_for_nobody(self, app: App) -> None:
        broadcast_id = start(app, language="uz")
        feed(app)
        assert report(app, broadcast_id).state is State.FINISHED

    def test_without_a_bot_the_inboxes_are_all(self, app: App) -> None:
        make_users(app, 3)
        bag = app.extensions["settings"]
        before = bag[TelegramSettings]
        bag[TelegramSettings] = replace(before, mode="off")
        try:
            broadcast_id = start(app)
            feed(app)
            feed(app)
        finally:
            bag[TelegramSettings] = before
        assert report(app, broadcast_id).state is State.FINISHED
        assert len(inboxes(app, broadcast_id)) == 3
        assert messages(app, broadcast_id) == []


class TestOnce:
    def test_a_kill_in_the_middle_neither_repeats_nor_skips(
        self, app: App, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What was not committed is as if it had never been: rows and cursor alike."""
        users = make_users(app, 23)
        monkeypatch.setattr(sending, "CHUNK", 5)
        monkeypatch.setattr(sending, "CHUNK_SECONDS", 0)
        broadcast_id = start(app)
        for attempt in range(12):
            try:
                with at_work(app):
                    sending.feed_next(broadcast_id)
                    if attempt % 2:
                        raise KeyboardInterrupt
            except KeyboardInterrupt:
                continue
        while feed(app) and report(app, broadcast_id).counts.left:
            pass
        assert inboxes(app, broadcast_id) == users
        assert [m.user_id for m in messages(app, broadcast_id)] == users

    def test_many_feeders_at_once_queue_each_user_once(
        self, pg_app: App, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        users = make_users(pg_app, 200)
        monkeypatch.setattr(sending, "CHUNK", 7)
        monkeypatch.setattr(sending, "CHUNK_SECONDS", 0)
        broadcast_id = start(pg_app)
        at_once(4, lambda _: feed(pg_app))
        assert inboxes(pg_app, broadcast_id) == users
        assert [m.user_id for m in messages(pg_app, broadcast_id)] == users

    @pytest.mark.parametrize("command", [sending.pause, sending.cancel])
    def test_stopping_it_under_the_feeder_leaves_nothing_that_would_leave(
        self, pg_app: App, monkeypatch: pytest.MonkeyPatch, command: object
    ) -> None:
        users = make_users(pg_app, 300)
        monkeypatch.setattr(sending, "CHUNK", 3)
        monkeypatch.setattr(sending, "CHUNK_SECONDS", 0)
        broadcast_id = start(pg_app)

        begun, stopped = threading.Event(), threading.Event()
        turns, feed_next = itertools.count(), sending.feed_next

        def feed_some(broadcast_id: uuid.UUID, room: int | None = None) -> int:
            """A slow machine must not be through before it is stopped."""
            if next(turns) > 20:
                begun.set()
                stopped.wait(30)
            return feed_next(broadcast_id, room)

        monkeypatch.setattr(sending, "feed_next", feed_some)

        def act(number: int) -> None:
            if number:
                feed(pg_app)
                return
            assert begun.wait(30)
            with at_work(pg_app):
                command(broadcast_id, BOSS)  # type: ignore[operator]
            stopped.set()

        at_once(3, act)
        kept = messages(pg_app, broadcast_id)
        assert {m.status for m in kept} <= {Status.HELD, Status.CANCELLED}
        assert len(kept) < 300
        feed(pg_app)
        assert len(messages(pg_app, broadcast_id)) == len(kept)
        if command is sending.pause:
            with at_work(pg_app):
                sending.resume(broadcast_id, BOSS)
            feed(pg_app)
            assert inboxes(pg_app, broadcast_id) == users

    @pytest.mark.parametrize("state", [s for s in State if s is not State.RUNNING])
    def test_only_what_runs_is_fed(self, app: App, state: State) -> None:
        make_users(app, 3)
        broadcast_id = write(app)
        now = clock.now()
        ended = state in (State.FINISHED, State.CANCELLED)
        with at_work(app) as current:
            current.execute(
                update(Broadcast).values(
                    state=state, started_at=now, finished_at=now if ended else None
                )
            )
        assert feed(app) is False
        assert feed_one(app, broadcast_id) == 0
        assert inboxes(app, broadcast_id) == []


class TestDuty:
    def test_idle_it_asks_one_cheap_question(self, app: App) -> None:
        write(app)
        with counted_queries(app) as statements:
            feed(app)
        assert len([s for s in statements if "SELECT" in s]) == 1

    def test_it_runs_until_it_is_told_to_stop(
        self, app: App, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        users = make_users(app, 30)
        monkeypatch.setattr(runner, "IDLE_SECONDS", 0.05)
        monkeypatch.setattr(runner, "RUNNING_SECONDS", 0.01)
        stop = Stop()
        duty = threading.Thread(target=runner.keep_feeding, args=(app, stop))
        duty.start()
        try:
            broadcast_id = start(app)
            deadline = time.monotonic() + 10
            while len(inboxes(app, broadcast_id)) < 30 and time.monotonic() < deadline:
                time.sleep(0.02)
        finally:
            stop.set()
            duty.join(5)
        assert not duty.is_alive()
        assert inboxes(app, broadcast_id) == users
