"""The outbox: written with the change it tells of, claimed with a lease."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
import time_machine
from hypothesis import given
from hypothesis import strategies as st

from manga_backend.kernel.notifications.domain import (
    GIVE_UP_AFTER,
    LONGEST_PAUSE_SECONDS,
    next_attempt,
)
from manga_backend.kernel.notifications.models import Notification
from manga_backend.kernel.notifications.service import delivery, outbox
from manga_backend.kernel.notifications.service.edits import edit_anew
from manga_backend.kernel.notifications.types import (
    Channel,
    Contact,
    Outgoing,
    Priority,
    Sent,
    Status,
)
from manga_backend.kernel.telegram.settings import TelegramSettings
from manga_backend.kernel.telegram.types import Button, Message, Reachability
from manga_backend.kit import clock
from manga_backend.kit.app import App
from manga_backend.kit.jobs import local_flag
from tests.kernel.factories import at_work, count, make_user, new_chat, rows
from tests.support import LOG_CHANNEL, at_once, counted_queries

NOW = clock.now()
CREATED = st.timedeltas(timedelta(0), timedelta(days=3)).map(lambda ago: NOW - ago)


def queue(
    app: App, chat: int, text: str = "hello", *, buttons: bool = False, **more: Priority
) -> int:
    """A message that waits; returns its id."""
    message = Message(text, [[Button("✅", data="approve:1")]] if buttons else [])
    with at_work(app):
        row = outbox.notify_chat(chat, message, kind="test", **more)
        assert row is not None
        return row.id


def claim(app: App, limit: int = 100) -> list[int]:
    """The ids of what was claimed, in the order in which it is to leave."""
    with at_work(app):
        return [outgoing.id for outgoing in delivery.claim_due(limit)]


def as_claimed(app: App, notification_id: int) -> Outgoing:
    """What a sender holds of a message that is leased."""
    row = one(app, notification_id)
    assert row.chat_id is not None
    return Outgoing(
        id=row.id,
        chat_id=row.chat_id,
        text=row.text,
        buttons=row.buttons,
        edits_message_id=None,
        priority=row.priority,
        reachability=Reachability.UNKNOWN,
        leased_until=row.due_at,
    )


def one(app: App, notification_id: int) -> Notification:
    with at_work(app) as current:
        return current.get_one(Notification, notification_id)


@pytest.fixture
def bot_off(app: App) -> Iterator[None]:
    """TELEGRAM_MODE=off"""
    bag = app.extensions["settings"]
    before = bag[TelegramSettings]
    bag[TelegramSettings] = replace(before, mode="off")
    yield
    bag[TelegramSettings] = before


class TestNotifyChat:
    def test_waits_with_its_buttons(self, app: App) -> None:
        chat = new_chat()
        message = Message("<b>x</b>", [[Button("yes", data="approve:1")]])
        with at_work(app):
            outbox.notify_chat(chat, message, kind="test", subject="s", language="fa")
        (row,) = rows(app, Notification)
        assert (row.channel, row.status, row.attempts) == (Channel.TELEGRAM, Status.NEW, 0)
        assert (row.chat_id, row.text, row.subject, row.language) == (chat, "<b>x</b>", "s", "fa")
        assert row.buttons == {"rows": [[{"text": "yes", "callback_data": "approve:1"}]]}

    def test_what_is_rolled_back_is_never_told(self, app: App) -> None:
        with app.app_context():
            local_flag(outbox.DELIVER).clear()
        with pytest.raises(ZeroDivisionError):
            queue_and_fail(app)
        assert count(app, Notification) == 0
        with app.app_context():
            assert not local_flag(outbox.DELIVER).is_set()

    def test_wakes_the_deliverer_after_the_commit_and_not_before(self, app: App) -> None:
        with at_work(app):
            flag = local_flag(outbox.DELIVER)
            flag.clear()
            outbox.notify_chat(new_chat(), Message("x"), kind="test")
            assert not flag.is_set()
        assert flag.is_set()

    @pytest.mark.usefixtures("bot_off")
    def test_nothing_waits_for_a_bot_that_is_off(self, app: App) -> None:
        with at_work(app):
            assert outbox.notify_chat(new_chat(), Message("x"), kind="test") is None
            outbox.notify_log_channel(Message("x"), kind="test")
        assert count(app, Notification) == 0

    def test_the_log_channel_is_a_chat(self, app: App) -> None:
        with at_work(app):
            outbox.notify_log_channel(Message("x"), kind="test")
        assert [row.chat_id for row in rows(app, Notification)] == [LOG_CHANNEL]


def queue_and_fail(app: App) -> None:
    with at_work(app):
        outbox.notify_chat(new_chat(), Message("x"), kind="test")
        raise ZeroDivisionError


class TestNotifyUser:
    def test_writes_the_inbox_and_a_message(self, app: App) -> None:
        user_id, chat = make_user(app), new_chat()
        with at_work(app):
            message = Message("<b>1 &lt; 2</b>\nyes")
            outbox.notify_user(Contact(user_id, chat, "fa"), message, kind="test")
        inbox, telegram = rows(app, Notification)
        assert (inbox.channel, inbox.status, inbox.read_at) == (Channel.IN_APP, Status.SENT, None)
        assert inbox.text.split() == ["1", "<", "2", "yes"]
        assert (telegram.channel, telegram.status) == (Channel.TELEGRAM, Status.NEW)
        assert (telegram.chat_id, telegram.user_id) == (chat, user_id)

    def test_without_a_telegram_id_the_inbox_has_it(self, app: App) -> None:
        user_id = make_user(app)
        with at_work(app):
            outbox.notify_user(Contact(user_id, None, None), Message("x"), kind="test")
        assert [row.channel for row in rows(app, Notification)] == [Channel.IN_APP]

    @pytest.mark.usefixtures("bot_off")
    def test_without_a_bot_the_inbox_has_it(self, app: App) -> None:
        user_id = make_user(app)
        with at_work(app):
            outbox.notify_user(Contact(user_id, new_chat(), None), Message("x"), kind="test")
        assert [row.channel for row in rows(app, Notification)] == [Channel.IN_APP]


class TestClaimDue:
    def test_decisions_leave_first_then_the_oldest(self, app: App) -> None:
        old = queue(app, new_chat())
        young = queue(app, new_chat())
        decision = queue(app, new_chat(), priority=Priority.DECISION)
        assert claim(app) == [decision, old, young]

    def test_what_is_claimed_is_not_claimed_again_within_the_lease(self, app: App) -> None:
        row = queue(app, new_chat())
        assert claim(app) == [row]
        assert claim(app) == []
        assert one(app, row).attempts == 1

    def test_a_killed_claim_is_free_again_after_30_s(self, app: App) -> None:
        row = queue(app, new_chat())
        now = clock.now()
        with time_machine.travel(now, tick=False):
            assert claim(app) == [row]
        with time_machine.travel(now + timedelta(seconds=29), tick=False):
            assert claim(app) == []
        with time_machine.travel(now + timedelta(seconds=30), tick=False):
            assert claim(app) == [row]
        assert one(app, row).attempts == 2

    def test_never_more_than_asked(self, app: App) -> None:
        ids = [queue(app, new_chat()) for _ in range(5)]
        assert [claim(app, 2), claim(app, 2), claim(app, 2)] == [ids[:2], ids[2:4], ids[4:]]

    def test_ten_claims_at_once_share_and_never_overlap(self, pg_app: App) -> None:
        ids = {queue(pg_app, new_chat()) for _ in range(40)}
        claimed = Counter(i for batch in at_once(10, lambda _: claim(pg_app, 7)) for i in batch)
        assert set(claimed.values()) == {1}
        assert set(claimed) | set(claim(pg_app)) == ids

    def test_an_edit_waits_for_its_original(self, app: App) -> None:
        row = queue(app, new_chat())
        with at_work(app) as current:
            outbox.edit_message(current.get_one(Notification, row), Message("edited"))
        assert claim(app) == [row]
        edit = rows(app, Notification)[1]
        assert (edit.status, edit.attempts) == (Status.NEW, 0)
        with at_work(app):
            delivery.record_sent([Sent(as_claimed(app, row), 77)])
        with time_machine.travel(clock.now() + timedelta(seconds=2)), at_work(app):
            (outgoing,) = delivery.claim_due(10)
        assert (outgoing.id, outgoing.edits_message_id) == (edit.id, 77)

    def test_an_edit_of_what_will_never_leave_is_cancelled(self, app: App) -> None:
        row = queue(app, new_chat())
        claim(app)
        held = as_claimed(app, row)
        with at_work(app) as current:
            delivery.record_refused(held, "blocked")
            outbox.edit_message(current.get_one(Notification, row), Message("edited"))
        assert claim(app) == []
        assert rows(app, Notification)[1].status is Status.CANCELLED


class TestRecord:
    def test_what_was_sent_stays_sent(self, app: App) -> None:
        """The late word of a slow sender, whose lease another one took over."""
        row = queue(app, new_chat())
        claim(app)
        held = as_claimed(app, row)
        with at_work(app):
            delivery.record_sent([Sent(held, 5)])
        with at_work(app):
            delivery.record_failed(held, "late")
            delivery.record_refused(held, "late")
            delivery.put_off([held], 1, 60, 1)
            delivery.release([held])
            delivery.retry_failed_now()
        found = one(app, row)
        assert (found.status, found.telegram_message_id, found.last_error) == (Status.SENT, 5, None)

    @pytest.mark.parametrize("meanwhile", [Status.HELD, Status.CANCELLED])
    def test_what_left_is_sent_although_it_was_held_or_cancelled_meanwhile(
        self, app: App, meanwhile: Status
    ) -> None:
        row = queue(app, new_chat())
        claim(app)
        with at_work(app) as current:
            current.get_one(Notification, row).status = meanwhile
            current.flush()
        with at_work(app):
            delivery.record_sent([Sent(as_claimed(app, row), 5)])
        assert one(app, row).status is Status.SENT

    def test_rest_is_no_attempt_and_lasts_exactly_as_long_as_asked(self, app: App) -> None:
        row = queue(app, new_chat())
        now = clock.now()
        with time_machine.travel(now, tick=False), at_work(app):
            (outgoing,) = delivery.claim_due(1)
            delivery.put_off([outgoing], outgoing.chat_id, 3, 1)
        found = one(app, row)
        assert (found.attempts, found.status) == (0, Status.NEW)
        assert found.due_at == now + timedelta(seconds=3)


class TestLease:
    """A lease that has run out and is another's must not be touched by the sender of before."""

    def late_and_new(self, app: App) -> tuple[Outgoing, Outgoing]:
        row = queue(app, new_chat())
        with at_work(app):
            (late,) = delivery.claim_due(1)
        with time_machine.travel(clock.now() + delivery.LEASE), at_work(app):
            (new,) = delivery.claim_due(1)
        assert late.id == new.id == row
        return late, new

    @pytest.mark.parametrize("deed", ["release", "put_off", "record_failed"])
    def test_of_another_is_left_alone(self, app: App, deed: str) -> None:
        late, new = self.late_and_new(app)
        with at_work(app):
            if deed == "release":
                delivery.release([late])
            elif deed == "put_off":
                delivery.put_off([late], late.chat_id, 3, 1)
            else:
                delivery.record_failed(late, "late")
        found = one(app, new.id)
        assert (found.due_at, found.attempts, found.status) == (new.leased_until, 2, Status.NEW)

    def test_of_what_failed_before_survives_the_end_of_the_trouble(self, app: App) -> None:
        """Else what is in flight would be claimed and sent again."""
        row = queue(app, new_chat())
        with at_work(app):
            (held,) = delivery.claim_due(1)
            delivery.record_failed(held, "HTTP 500")
        with time_machine.travel(clock.now() + timedelta(minutes=1)):
            assert claim(app) == [row]
            with at_work(app):
                delivery.retry_failed_now()
            assert claim(app) == []

    def test_edits_wait_as_long_as_their_original_and_no_longer(self, app: App) -> None:
        row = queue(app, new_chat(), buttons=True)
        with at_work(app) as current:
            for number in range(20):
                outbox.edit_message(current.get_one(Notification, row), Message(f"{number}"))
        with time_machine.travel(clock.now(), tick=False):
            with at_work(app):
                (held,) = delivery.claim_due(1)
                delivery.record_failed(held, "HTTP 500")
            with counted_queries(app) as statements:
                assert claim(app, 100) == []
                assert claim(app, 100) == []
        assert len(statements) < 20  # none is looked at again before its original is
        with at_work(app):
            delivery.record_sent([Sent(held, 5)])
        assert len(claim(app, 100)) == 20


class TestEditsOfOneMessage:
    """Two workers must not bring an older text after a newer one."""

    def edit_under_way(self, app: App) -> tuple[int, Outgoing]:
        row = queue(app, new_chat())
        claim(app)
        with at_work(app) as current:
            delivery.record_sent([Sent(as_claimed(app, row), 5)])
            outbox.edit_message(current.get_one(Notification, row), Message("older"))
        with at_work(app):
            (held,) = delivery.claim_due(10)
        return row, held

    @pytest.mark.parametrize("superseded", [True, False])
    def test_the_newer_waits_for_what_is_being_sent(self, app: App, superseded: bool) -> None:
        row, held = self.edit_under_way(app)
        with at_work(app) as current:
            edit = edit_anew if superseded else outbox.edit_message
            edit(current.get_one(Notification, row), Message("newer"))
        assert claim(app) == []
        with at_work(app):
            delivery.record_sent([Sent(held, None)])
        with time_machine.travel(clock.now() + delivery.WAIT_FOR_ORIGINAL), at_work(app):
            (newer,) = delivery.claim_due(10)
        assert newer.text == "newer"

    def test_a_killed_sender_holds_it_up_for_a_lease_and_no_longer(self, app: App) -> None:
        row, _held = self.edit_under_way(app)
        with at_work(app) as current:
            edit_anew(current.get_one(Notification, row), Message("newer"))
        with time_machine.travel(clock.now() + delivery.LEASE), at_work(app):
            assert [out.text for out in delivery.claim_due(10)] == ["newer"]

    def test_one_that_failed_after_it_was_superseded_holds_up_nothing(self, app: App) -> None:
        row, held = self.edit_under_way(app)
        with at_work(app) as current:
            edit_anew(current.get_one(Notification, row), Message("newer"))
            delivery.record_failed(held, "HTTP 502")
        with at_work(app):
            assert [out.text for out in delivery.claim_due(10)] == ["newer"]

    def test_several_are_recorded_together(self, app: App) -> None:
        """A group of edits alone has no message number in it."""
        held = [self.edit_under_way(app)[1] for _ in range(3)]
        with at_work(app):
            delivery.record_sent([Sent(one, None) for one in held])
        assert {one(app, out.id).status for out in held} == {Status.SENT}

    def test_one_that_failed_holds_up_nothing(self, app: App) -> None:
        row, held = self.edit_under_way(app)
        with at_work(app) as current:
            delivery.record_failed(held, "HTTP 500")
            edit_anew(current.get_one(Notification, row), Message("newer"))
        with at_work(app):
            assert [out.text for out in delivery.claim_due(10)] == ["newer"]


class TestNextAttempt:
    @given(st.integers(0, 32_000), CREATED)
    def test_is_soon_and_later_each_time_or_never(self, attempts: int, created: datetime) -> None:
        again = next_attempt(attempts, created, NOW)
        if NOW - created >= GIVE_UP_AFTER:
            assert again is None
        else:
            assert again is not None
            pause = (again - NOW).total_seconds()
            longest = min(LONGEST_PAUSE_SECONDS, 2 ** min(attempts, 12))
            assert longest / 2 <= pause <= longest

    def test_differs_from_one_message_to_the_next(self) -> None:
        pauses = {next_attempt(8, NOW, NOW) for _ in range(20)}
        assert len(pauses) > 10
