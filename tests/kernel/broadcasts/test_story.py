"""A broadcast as an admin and its readers live it, and one to 100,000."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import delete, update

from manga_backend.kernel.broadcasts.types import State
from manga_backend.kernel.identity.types import Role
from manga_backend.kernel.notifications.models import Notification
from manga_backend.kernel.notifications.settings import NotificationSettings
from manga_backend.kernel.notifications.types import Status
from manga_backend.kit import clock
from tests.kernel.broadcasts.factories import (
    feed,
    feed_one,
    inboxes,
    make_users,
    report,
    start,
)
from tests.kernel.factories import at_work, count, make_reader, new_chat
from tests.support import Api, Reader

ROOT = "/admin/system/broadcasts"
CROWD = 100_000


def texts(api: Api, chat: int) -> list[str]:
    """What the bot has written into a chat."""
    return [message.html for message in api.bot.messages(chat) if message.from_bot]


def unread(reader: Reader) -> int:
    found: dict[str, Any] = reader.status()
    return int(found["unread_notifications"])


def test_written_tried_sent_and_counted(api: Api) -> None:
    boss = make_reader(api, role=Role.ADMIN, language="en")
    persian, russian = make_reader(api, language="fa"), make_reader(api, language="ru")
    blocked = make_reader(api, telegram_id=new_chat())
    shy = make_reader(api, telegram_id=None)
    api.bot.open_chat(blocked.telegram_id)
    api.bot.block(blocked.telegram_id)

    def do(word: str) -> dict[str, Any]:
        answer = boss.post(f"{ROOT}/{broadcast_id}/{word}")
        assert answer.status_code in (200, 202), answer.text
        found: dict[str, Any] = answer.get_json()
        return found

    body = {"texts": {"fa": "<b>فصل تازه</b>", "en": "<b>A new chapter</b>"}}
    made = boss.post(ROOT, body).get_json()
    broadcast_id = made["id"]
    assert made["counts"]["audience"] == 5

    assert do("test") == {"queued": 2}
    api.deliver()
    assert texts(api, boss.telegram_id) == list(body["texts"].values())
    assert [unread(reader) for reader in (persian, shy)] == [0, 0]

    do("start")
    feed(api.app)
    shown = do("pause")
    assert (shown["counts"]["waiting"], shown["counts"]["sent"]) == (4, 0)
    api.deliver()
    assert texts(api, persian.telegram_id) == []
    do("resume")
    api.deliver()
    feed(api.app)

    shown = boss.get(f"{ROOT}/{broadcast_id}").get_json()
    assert (shown["state"], shown["percent"]) == ("finished", 100)
    counts = shown["counts"]
    assert (counts["audience"], counts["left"], counts["queued"]) == (5, 0, 4)
    assert (counts["sent"], counts["blocked"], counts["failed"]) == (3, 1, 0)
    assert (counts["waiting"], counts["cancelled"]) == (0, 0)
    assert texts(api, persian.telegram_id) == ["<b>فصل تازه</b>"]
    assert texts(api, russian.telegram_id) == ["<b>A new chapter</b>"]
    assert [unread(reader) for reader in (persian, blocked, shy)] == [1, 1, 1]


def test_its_counts_outlive_its_messages(api: Api) -> None:
    make_users(api.app, 3)
    broadcast_id = start(api.app)
    api.deliver()
    feed(api.app)
    before = report(api.app, broadcast_id)
    assert (before.state, before.counts.sent) == (State.FINISHED, 3)
    with at_work(api.app) as current:
        current.execute(delete(Notification))
    assert report(api.app, broadcast_id).counts == before.counts


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_a_hundred_thousand_are_queued_at_2000_a_second(pg_api: Api) -> None:
    app = pg_api.app
    for _ in range(20):
        make_users(app, CROWD // 20)
    bag = app.extensions["settings"]
    before = bag[NotificationSettings]
    bag[NotificationSettings] = replace(before, per_second=50 * before.per_second)
    spent = 0.0
    try:
        broadcast_id = start(app)
        running = True
        while running:
            begun = time.monotonic()
            running = feed(app)
            spent += time.monotonic() - begun
            with at_work(app) as current:  # as if it were sent
                current.execute(
                    update(Notification)
                    .where(Notification.status == Status.NEW)
                    .values(status=Status.SENT, sent_at=clock.now())
                )
    finally:
        bag[NotificationSettings] = before
    assert feed_one(app, broadcast_id) == 0
    assert count(app, Notification) == 2 * CROWD
    assert len(set(inboxes(app, broadcast_id))) == CROWD
    assert CROWD / spent >= 2000
