"""Updates are stored by id, handled in order, once each; a bad one stops nobody."""

from __future__ import annotations

import itertools
import logging
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from manga_backend.kernel.notifications.models import Notification
from manga_backend.kernel.telegram.models import TelegramPoller, TelegramUpdate
from manga_backend.kernel.telegram.queries import list_waiting_update_ids
from manga_backend.kernel.telegram.service import updates as service
from manga_backend.kernel.telegram.types import BotCommand, Command, Message, Press
from manga_backend.kit import clock
from manga_backend.kit.app import App
from manga_backend.kit.problems import DomainError
from tests.kernel.factories import at_work, count, make_user, new_chat, rows
from tests.support import at_once

Update = dict[str, Any]
_ids = itertools.count(1000)
WORD = "probe"


class Refusal(DomainError):
    detail = "No."


class Probe:
    """A button and a command of the tests: notes what reached it, and fails when told to."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.failures = 0

    def press(self, press: Press) -> str:
        service.reply_through["outbox"](press.sender.id, Message("from the press"))
        self.seen.append(press.argument)
        if press.argument == "refuse":
            raise Refusal
        if self.failures:
            self.failures -= 1
            raise ZeroDivisionError
        return f"heard {press.argument}"

    def command(self, command: Command) -> Message:
        self.seen.append(command.argument)
        return Message(f"heard {command.argument}")


@pytest.fixture
def probe(app: App) -> Iterator[Probe]:
    found = Probe()
    handlers = {service.presses: found.press, service.commands: BotCommand(found.command, "Probe")}
    for registry, handler in handlers.items():
        registry.register(app, WORD, handler)  # type: ignore[arg-type]
    yield found
    for registry in handlers:
        del app.extensions[registry._slot][WORD]


def pressed(data: str, chat: int = 0) -> Update:
    chat = chat or new_chat()
    return {
        "update_id": next(_ids),
        "callback_query": {
            "id": str(next(_ids)),
            "from": {"id": chat, "is_bot": False, "first_name": "x", "language_code": "en"},
            "message": {"message_id": 1, "chat": {"id": chat, "type": "private"}},
            "data": data,
            "a_field_of_the_future": 1,
        },
    }


def written(text: str, chat: int = 0, kind: str = "private") -> Update:
    chat = chat or new_chat()
    return {
        "update_id": next(_ids),
        "message": {
            "message_id": 1,
            "date": 1,
            "from": {"id": chat, "is_bot": False, "first_name": "x", "language_code": "en"},
            "chat": {"id": chat if kind == "private" else -chat, "type": kind},
            "text": text,
        },
    }


def store(app: App, *updates: Update) -> None:
    with at_work(app):
        service.store_updates(list(updates))


def handle(app: App, update: Update) -> service.Answer | None:
    with app.app_context():
        return service.handle_update(update["update_id"])


def waiting(app: App) -> list[int]:
    with at_work(app):
        return list_waiting_update_ids()


def stored(app: App, update: Update) -> TelegramUpdate:
    with at_work(app) as current:
        return current.get_one(TelegramUpdate, update["update_id"])


def replies(app: App, chat: int) -> list[str]:
    return [row.text for row in rows(app, Notification, Notification.chat_id == chat)]


class TestStoreUpdates:
    def test_keeps_them_with_the_offset_that_confirms_them(self, app: App) -> None:
        first, second = pressed("a:1"), pressed("a:2")
        store(app, second, first)
        assert waiting(app) == [first["update_id"], second["update_id"]]
        (poller,) = rows(app, TelegramPoller)
        assert poller.next_offset == second["update_id"] + 1
        assert stored(app, first).payload == first

    def test_twice_is_once(self, app: App, probe: Probe) -> None:
        update = pressed(f"{WORD}:1")
        store(app, update)
        handle(app, update)
        store(app, update, update)
        assert waiting(app) == []
        assert handle(app, update) is None
        assert probe.seen == ["1"]

    def test_what_no_database_keeps_is_replaced_and_the_rest_stays(self, app: App) -> None:
        """Or it would be fetched again for ever, and nothing after it."""
        update = pressed("a:1")
        update["callback_query"]["from"]["first_name"] = "x\x00y\ud800z"
        store(app, update)
        name = stored(app, update).payload["callback_query"]["from"]["first_name"]
        assert name == "x\ufffdy\ufffdz"

    def test_nothing_changes_nothing(self, app: App) -> None:
        store(app)
        with at_work(app) as current:
            assert current.get(TelegramPoller, 1) is None


class TestHandleUpdate:
    def test_answers_a_press(self, app: App, probe: Probe) -> None:
        update = pressed(f"{WORD}:1")
        store(app, update)
        answer = handle(app, update)
        assert answer == service.Answer(
            "answerCallbackQuery",
            {"callback_query_id": update["callback_query"]["id"], "text": "heard 1"},
        )
        assert stored(app, update).handled_at is not None

    def test_20_threads_handle_it_once(self, pg_app: App) -> None:
        seen: list[str] = []

        def press(press: Press) -> str:
            seen.append(press.argument)
            return "done"

        service.presses.register(pg_app, "once", press)
        try:
            update = pressed("once:1")
            store(pg_app, update)
            answers = at_once(20, lambda _: handle(pg_app, update))
        finally:
            del pg_app.extensions[service.presses._slot]["once"]
        assert Counter(answer is None for answer in answers) == {True: 19, False: 1}
        assert seen == ["1"]

    def test_an_unknown_id_does_nothing(self, app: App) -> None:
        with app.app_context():
            assert service.handle_update(1) is None

    def test_a_refusal_is_the_answer_and_leaves_nothing_behind(
        self, app: App, probe: Probe
    ) -> None:
        chat = new_chat()
        update = pressed(f"{WORD}:refuse", chat)
        store(app, update)
        answer = handle(app, update)
        assert answer is not None
        assert answer.params["text"] == "No."
        assert replies(app, chat) == []
        assert (waiting(app), stored(app, update).attempts) == ([], 0)

    def test_a_fault_is_rolled_back_and_tried_three_times(
        self, app: App, probe: Probe, caplog: pytest.LogCaptureFixture
    ) -> None:
        probe.failures = 9
        chat = new_chat()
        update = pressed(f"{WORD}:1", chat)
        store(app, update)
        for attempt in (1, 2, 3):
            assert waiting(app) == [update["update_id"]]
            assert handle(app, update) is None
            assert stored(app, update).attempts == attempt
        assert waiting(app) == []
        assert handle(app, update) is None
        assert len(probe.seen) == 3
        assert "ZeroDivisionError" in (stored(app, update).error or "")
        assert replies(app, chat) == []
        assert len([r for r in caplog.records if r.levelno >= logging.ERROR]) == 3

    def test_a_fault_that_passes_is_made_up_for(self, app: App, probe: Probe) -> None:
        probe.failures = 1
        update = pressed(f"{WORD}:1")
        store(app, update)
        assert handle(app, update) is None
        assert handle(app, update) is not None
        assert waiting(app) == []

    @pytest.mark.parametrize(
        "payload",
        [
            {"callback_query": {}},
            {"callback_query": {"id": "1", "from": {"id": "x"}}},
            {"message": {"chat": {"type": "private"}, "text": "/start", "from": {}}},
        ],
        ids=str,
    )
    def test_an_update_of_another_shape_stops_nobody(self, app: App, payload: Update) -> None:
        bad, chat = {"update_id": next(_ids), **payload}, new_chat()
        good = written("/help", chat)
        store(app, bad, good)
        assert handle(app, bad) is None
        handle(app, good)
        assert len(replies(app, chat)) == 1

    @pytest.mark.parametrize(
        "payload",
        [
            {},
            {"poll": {"id": "1"}},
            {"message": None},
            {"message": {"text": "/help"}},
            {"message": {"chat": {"type": "private"}, "from": {"id": 1}}},
            {"edited_message": {"text": "/help"}},
        ],
        ids=str,
    )
    def test_what_is_none_of_ours_is_passed_over(self, app: App, payload: Update) -> None:
        update = {"update_id": next(_ids), **payload}
        store(app, update)
        assert handle(app, update) is None
        assert (waiting(app), stored(app, update).attempts) == ([], 0)
        assert count(app, Notification) == 0

    def test_an_answer_has_at_most_200_characters(self, app: App, probe: Probe) -> None:
        update = pressed(f"{WORD}:{'y' * 300}")
        store(app, update)
        answer = handle(app, update)
        assert answer is not None
        assert len(answer.params["text"]) == 200


class TestCommands:
    def said(self, app: App, text: str, kind: str = "private") -> list[str]:
        chat = new_chat()
        update = written(text, chat, kind)
        store(app, update)
        assert handle(app, update) is None
        return replies(app, chat) + replies(app, -chat)

    def test_start_greets(self, app: App) -> None:
        (reply,) = self.said(app, "/start")
        assert "Hello!" in reply

    def test_help_lists_what_the_bot_understands(self, app: App) -> None:
        (reply,) = self.said(app, "/help")
        assert "/start" in reply
        assert "/help" in reply

    @pytest.mark.parametrize("text", ["/nonsense", "/", "/HELP", "/help@two_manga_bot x"])
    def test_an_unknown_command_gets_the_help(self, app: App, text: str) -> None:
        assert self.said(app, text) == self.said(app, "/help")

    def test_start_with_a_bad_code_says_so(self, app: App) -> None:
        (reply,) = self.said(app, "/start NONSENSE")
        assert "Hello!" not in reply

    def test_a_command_knows_its_argument(self, app: App, probe: Probe) -> None:
        assert self.said(app, f"/{WORD.upper()}@two_manga_bot   a  b ") == ["heard a  b"]
        assert self.said(app, f"/{WORD}\na\nb") == ["heard a\nb"]

    @pytest.mark.parametrize("text", ["hello", " /help", "", "سلام"])
    def test_other_words_are_not_answered(self, app: App, text: str) -> None:
        assert self.said(app, text) == []

    @pytest.mark.parametrize("kind", ["group", "supergroup", "channel"])
    def test_only_private_chats_are_answered(self, app: App, kind: str) -> None:
        assert self.said(app, "/help", kind) == []

    def test_the_answer_is_in_the_language_of_the_profile(self, app: App, probe: Probe) -> None:
        chat = new_chat()
        make_user(app, telegram_id=chat, telegram_verified_at=clock.now(), language="ru")
        with at_work(app):
            assert service.language_of["profile"](chat) == "ru"

    def test_a_claim_chooses_no_language_for_another(self, app: App, probe: Probe) -> None:
        chat = new_chat()
        make_user(app, telegram_id=chat, language="ru")
        with at_work(app):
            assert service.language_of["profile"](chat) is None


class TestPurge:
    def test_forgets_handled_updates_after_a_week(self, app: App) -> None:
        old, new, unhandled = (written("/help") for _ in range(3))
        store(app, old, new, unhandled)
        handle(app, old)
        handle(app, new)
        with at_work(app) as current:
            row = current.get_one(TelegramUpdate, old["update_id"])
            row.handled_at = clock.now() - timedelta(days=8)
        with app.app_context():
            service.purge_updates()
        with at_work(app) as current:
            kept = {row.update_id for row in current.query(TelegramUpdate)}
        assert kept == {new["update_id"], unhandled["update_id"]}
