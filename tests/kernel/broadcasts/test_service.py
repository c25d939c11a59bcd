"""Writing, starting, pausing, resuming, cancelling: each step once, and nothing out of turn."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
import time_machine

from manga_backend.kernel.backoffice.types import Actor, Channel
from manga_backend.kernel.broadcasts import jobs, queries
from manga_backend.kernel.broadcasts.errors import (
    BotIsOff,
    BroadcastNotFound,
    NoTelegramChat,
    StepNotAllowed,
)
from manga_backend.kernel.broadcasts.models import STEPS, Broadcast
from manga_backend.kernel.broadcasts.service import drafts, sending
from manga_backend.kernel.broadcasts.types import Audience, Draft, State
from manga_backend.kernel.notifications.models import Notification
from manga_backend.kernel.notifications.service import delivery
from manga_backend.kernel.notifications.types import Priority, Sent, Status
from manga_backend.kernel.telegram.settings import TelegramSettings
from manga_backend.kit import clock
from manga_backend.kit.app import App
from manga_backend.kit.problems import InvalidInput
from tests.kernel.broadcasts.factories import (
    BOSS,
    audience_of,
    audited,
    feed,
    inboxes,
    make_users,
    messages,
    report,
    start,
    subscribe,
    write,
)
from tests.kernel.factories import at_work, count, make_user, new_chat, rows
from tests.support import at_once

Command = Callable[[uuid.UUID, Actor], Any]
COMMANDS: dict[str, Command] = {
    "start": sending.start,
    "pause": sending.pause,
    "resume": sending.resume,
    "cancel": sending.cancel,
}


def do(app: App, command: Command, broadcast_id: uuid.UUID) -> None:
    with at_work(app):
        command(broadcast_id, BOSS)


def state_of(app: App, broadcast_id: uuid.UUID) -> State:
    return report(app, broadcast_id).state


def brought_to(app: App, state: State) -> uuid.UUID:
    """A broadcast in some state, by the way that leads there."""
    broadcast_id = write(app)
    way: dict[State, tuple[Command, ...]] = {
        State.DRAFT: (),
        State.RUNNING: (sending.start,),
        State.PAUSED: (sending.start, sending.pause),
        State.FINISHED: (sending.start,),
        State.CANCELLED: (sending.cancel,),
    }
    for command in way[state]:
        do(app, command, broadcast_id)
    if state is State.FINISHED:
        feed(app)
    assert state_of(app, broadcast_id) is state
    return broadcast_id


class TestCreate:
    def test_a_draft_keeps_what_was_written_and_by_whom(self, app: App) -> None:
        texts = {"fa": " <b>سلام</b>\n", "en": "hello"}
        broadcast_id = write(app, texts=texts, audience=Audience.ACTIVE, product="manga")
        found = report(app, broadcast_id)
        assert found.texts == {"fa": "<b>سلام</b>", "en": "hello"}
        assert (found.audience, found.product, found.language) == (Audience.ACTIVE, "manga", None)
        assert (found.state, found.created_by_label) == (State.DRAFT, "boss")
        assert (found.percent, found.started_at, found.finished_at) == (0, None, None)
        assert audited(app) == [("boss", "broadcast.created")]

    @pytest.mark.parametrize(
        ("draft", "fields"),
        [
            (Draft({}), {"texts"}),
            (Draft({"en": " "}), {"texts.en"}),
            (Draft({"en": "ok", "fa": "<b>", "ru": "1 < 2"}), {"texts.fa", "texts.ru"}),
            (Draft({"de": "hallo"}), {"texts.de"}),
            (Draft({"en": "ok"}, language="de"), {"language"}),
            (Draft({"en": "ok"}, product=""), {"product"}),
        ],
    )
    def test_what_is_wrong_is_named_and_nothing_kept(
        self, app: App, draft: Draft, fields: set[str]
    ) -> None:
        with pytest.raises(InvalidInput) as refused, at_work(app):
            drafts.create_broadcast(draft, BOSS)
        assert set(refused.value.errors or {}) == fields
        assert count(app, Broadcast) == 0
        assert audited(app) == []

    def test_line_ends_of_a_form_become_bare(self, app: App) -> None:
        broadcast_id = write(app, "one\r\ntwo\rthree\n")
        assert report(app, broadcast_id).texts == {"en": "one\ntwo\nthree"}


class TestEdit:
    def edit(self, app: App, broadcast_id: uuid.UUID, **changes: Any) -> None:
        with at_work(app):
            drafts.edit_broadcast(broadcast_id, changes, BOSS)

    def test_a_draft_changes_and_the_log_says_what(self, app: App) -> None:
        broadcast_id = write(app)
        self.edit(app, broadcast_id, texts={"ru": "привет"}, language="ru")
        found = report(app, broadcast_id)
        assert (found.texts, found.language, found.audience) == (
            {"ru": "привет"},
            "ru",
            Audience.ALL,
        )
        assert audited(app)[-1] == ("boss", "broadcast.edited")

    def test_no_change_is_no_edit(self, app: App) -> None:
        broadcast_id = write(app)
        self.edit(app, broadcast_id, texts={"en": "hello "})
        assert len(audited(app)) == 1

    def test_bad_text_changes_nothing(self, app: App) -> None:
        broadcast_id = write(app)
        with pytest.raises(InvalidInput):
            self.edit(app, broadcast_id, texts={"en": "<b>"})
        assert report(app, broadcast_id).texts == {"en": "hello"}

    @pytest.mark.parametrize("state", [s for s in State if s is not State.DRAFT])
    def test_only_a_draft_changes(self, app: App, state: State) -> None:
        broadcast_id = brought_to(app, state)
        for text in ("other", "hello"):
            with pytest.raises(StepNotAllowed):
                self.edit(app, broadcast_id, texts={"en": text})
        assert report(app, broadcast_id).texts == {"en": "hello"}


class TestSendTest:
    def test_each_text_goes_to_whoever_asks_and_to_no_count(self, app: App) -> None:
        chat = new_chat()
        user_id = make_user(app, telegram_id=chat)
        broadcast_id = write(app, texts={"en": "hello", "fa": "<b>سلام</b>"})
        with at_work(app):
            actor = Actor(f"user:{user_id}", "me", Channel.PANEL, user_id)
            assert drafts.send_test(broadcast_id, actor) == 2
        found = rows(app, Notification)
        assert [(row.chat_id, row.text) for row in found] == [
            (chat, "<b>سلام</b>"),
            (chat, "hello"),
        ]
        assert {row.priority for row in found} == {Priority.RECEIPT}
        assert report(app, broadcast_id).counts.queued == 0
        assert audited(app)[-1] == ("me", "broadcast.tested")

    def test_an_admin_without_an_account_is_known_by_the_telegram_id(self, app: App) -> None:
        with at_work(app):
            actor = Actor("telegram:77", "telegram:77", Channel.TELEGRAM)
            drafts.send_test(write_here(), actor)
        assert [row.chat_id for row in rows(app, Notification)] == [77]

    def test_without_a_telegram_id_it_is_refused(self, app: App) -> None:
        user_id = make_user(app, telegram_id=None)
        broadcast_id = write(app)
        for actor in (
            Actor(f"user:{user_id}", "me", Channel.PANEL, user_id),
            Actor("cli", "x", Channel.CLI),
        ):
            with pytest.raises(NoTelegramChat), at_work(app):
                drafts.send_test(broadcast_id, actor)

    def test_without_a_bot_it_is_refused(self, app: App) -> None:
        broadcast_id = write(app)
        bag = app.extensions["settings"]
        before = bag[TelegramSettings]
        bag[TelegramSettings] = replace(before, mode="off")
        try:
            with pytest.raises(BotIsOff), at_work(app):
                drafts.send_test(broadcast_id, Actor("telegram:7", "x", Channel.TELEGRAM))
        finally:
            bag[TelegramSettings] = before


def write_here() -> uuid.UUID:
    """A draft in the running transaction."""
    return drafts.create_broadcast(Draft({"en": "x"}), BOSS).id


class TestSteps:
    @pytest.mark.parametrize("state", list(State))
    @pytest.mark.parametrize("name", list(COMMANDS))
    def test_each_command_works_where_it_may_and_is_refused_elsewhere(
        self, app: App, name: str, state: State
    ) -> None:
        broadcast_id = brought_to(app, state)
        allowed = {
            "start": {State.DRAFT},
            "pause": {State.RUNNING},
            "resume": {State.PAUSED},
            "cancel": {State.DRAFT, State.RUNNING, State.PAUSED},
        }[name]
        known = len(audited(app))
        if state in allowed:
            do(app, COMMANDS[name], broadcast_id)
            assert len(audited(app)) == known + 1
            assert state_of(app, broadcast_id) in STEPS[state]
            return
        with pytest.raises(StepNotAllowed) as refused:
            do(app, COMMANDS[name], broadcast_id)
        assert (refused.value.status, refused.value.errors) == (409, {"state": [state.value]})
        assert (state_of(app, broadcast_id), len(audited(app))) == (state, known)

    @pytest.mark.parametrize("name", list(COMMANDS))
    def test_a_broadcast_that_never_was_is_not_found(self, app: App, name: str) -> None:
        with pytest.raises(BroadcastNotFound):
            do(app, COMMANDS[name], uuid.uuid4())

    @pytest.mark.parametrize("name", ["start", "pause", "cancel"])
    def test_20_at_once_are_one(self, pg_app: App, name: str) -> None:
        make_users(pg_app, 3)
        broadcast_id = write(pg_app) if name == "start" else start(pg_app)

        def attempt(_number: int) -> bool:
            try:
                do(pg_app, COMMANDS[name], broadcast_id)
            except StepNotAllowed:
                return False
            return True

        assert sum(at_once(20, attempt)) == 1
        done = {"start": "started", "pause": "paused", "cancel": "cancelled"}[name]
        assert [action for _who, action in audited(pg_app)].count(f"broadcast.{done}") == 1
        if name == "start":
            feed(pg_app)
            assert len(messages(pg_app, broadcast_id)) == 3

    def test_start_and_cancel_at_once_leave_one_truth(self, pg_app: App) -> None:
        make_users(pg_app, 3)
        broadcast_id = write(pg_app)

        def attempt(number: int) -> None:
            command = sending.start if number % 2 else sending.cancel
            with suppress(StepNotAllowed):
                do(pg_app, command, broadcast_id)

        at_once(10, attempt)
        feed(pg_app)
        assert state_of(pg_app, broadcast_id) is State.CANCELLED
        # A start that was first has queued its first users; the cancel took them all back.
        assert {m.status for m in messages(pg_app, broadcast_id)} <= {Status.CANCELLED}
        assert inboxes(pg_app, broadcast_id) == []


class TestPauseAndCancel:
    def test_paused_messages_stay_and_leave_after_resume(self, app: App) -> None:
        make_users(app, 5)
        broadcast_id = start(app)
        feed(app)
        do(app, sending.pause, broadcast_id)
        assert {m.status for m in messages(app, broadcast_id)} == {Status.HELD}
        feed(app)
        assert report(app, broadcast_id).counts.waiting == 5
        do(app, sending.resume, broadcast_id)
        assert {m.status for m in messages(app, broadcast_id)} == {Status.NEW}

    def test_what_is_cancelled_never_leaves(self, app: App) -> None:
        make_users(app, 5)
        broadcast_id = start(app)
        feed(app)
        do(app, sending.pause, broadcast_id)
        do(app, sending.cancel, broadcast_id)
        assert {m.status for m in messages(app, broadcast_id)} == {Status.CANCELLED}
        assert inboxes(app, broadcast_id) == []
        found = report(app, broadcast_id)
        assert found.finished_at is not None
        assert (found.counts.cancelled, found.counts.waiting, found.percent) == (5, 0, 0)

    def test_what_was_in_flight_at_the_end_is_counted_by_the_hour(self, app: App) -> None:
        make_users(app, 2)
        broadcast_id = start(app)
        with at_work(app):
            first, _second = delivery.claim_due(10)
        with at_work(app):
            sending.cancel(broadcast_id, BOSS)
        with at_work(app):
            delivery.record_sent([Sent(first, 7)])
        with app.app_context():
            jobs.settle()
            jobs.settle()
        with at_work(app) as current:
            kept = current.get_one(Broadcast, broadcast_id).outcome
        assert kept == {"sent": 1, "cancelled": 1}


class TestAudience:
    def test_each_gets_whom_it_names(self, app: App) -> None:
        never, active, soon, over, back = make_users(app, 5)
        make_users(app, 1, banned_at=clock.now())
        subscribe(app, active, 30)
        subscribe(app, soon, 6.9)
        subscribe(app, over, -0.01)
        subscribe(app, back, -10)
        subscribe(app, back, 30, product="vpn")
        assert audience_of(app, Audience.ALL) == {never, active, soon, over, back}
        assert audience_of(app, Audience.ACTIVE) == {active, soon, back}
        assert audience_of(app, Audience.EXPIRING) == {soon}
        assert audience_of(app, Audience.EXPIRED) == {over}

    def test_a_product_narrows_it(self, app: App) -> None:
        _never, manga, both, over = make_users(app, 4)
        subscribe(app, manga, 30)
        subscribe(app, both, 3)
        subscribe(app, both, 30, product="vpn")
        subscribe(app, over, -3, product="vpn")
        assert audience_of(app, Audience.ALL, product="vpn") == {both, over}
        assert audience_of(app, Audience.ACTIVE, product="vpn") == {both}
        assert audience_of(app, Audience.EXPIRING, product="vpn") == set()
        assert audience_of(app, Audience.EXPIRED, product="vpn") == {over}
        with pytest.raises(InvalidInput):
            audience_of(app, Audience.ALL, product="tea")

    def test_a_language_narrows_it_and_no_choice_is_the_default(self, app: App) -> None:
        (persian,) = make_users(app, 1, language="fa")
        (english,) = make_users(app, 1, language="en")
        (silent,) = make_users(app, 1, language=None)
        assert audience_of(app, Audience.ALL, language="fa") == {persian}
        assert audience_of(app, Audience.ALL, language="en") == {english, silent}
        assert audience_of(app, Audience.ALL, language="uz") == set()

    def test_it_is_fixed_by_the_start(self, app: App) -> None:
        old, payer = make_users(app, 2)
        subscribe(app, old, 1)
        broadcast_id = start(app, audience=Audience.ACTIVE)
        subscribe(app, payer, -5)
        with time_machine.travel(clock.now() + timedelta(days=2)):
            feed(app)
            late = make_users(app, 1, created_at=clock.now())
            subscribe(app, late[0], 5)
            feed(app)
        assert [m.user_id for m in messages(app, broadcast_id)] == [old]

    def test_each_reads_the_own_language(self, app: App) -> None:
        for language in ("fa", "ru", "uz", None):
            make_users(app, 1, language=language)
        broadcast_id = start(app, texts={"fa": "<i>f</i>", "ru": "r", "en": "e"})
        feed(app)
        assert [m.text for m in messages(app, broadcast_id)] == ["<i>f</i>", "r", "e", "e"]

    def test_whoever_has_no_telegram_id_has_it_in_the_inbox(self, app: App) -> None:
        make_users(app, 2, reachable=False)
        make_users(app, 1)
        broadcast_id = start(app, "<b>a &lt; b</b>")
        feed(app)
        assert len(messages(app, broadcast_id)) == 1
        copies = rows(app, Notification, Notification.channel == "in_app")
        assert [copy.text for copy in copies] == ["a < b"] * 3

    def test_a_preview_counts_now_and_shows_what_each_language_reads(self, app: App) -> None:
        make_users(app, 3)
        broadcast_id = write(app, texts={"fa": "f", "en": "e"})
        with at_work(app):
            shown = queries.preview(queries.get_broadcast(broadcast_id))
        assert shown.audience == 3
        assert shown.texts == {"fa": "f", "en": "e", "ru": "e", "uz": "e", "ar": "e"}
