"""Whether a chat can be written to: heard from what people do, kept once."""

from __future__ import annotations

from typing import Any

import pytest

from manga_backend.kernel.telegram.models import TelegramChat
from manga_backend.kernel.telegram.queries import reachability_of
from manga_backend.kernel.telegram.service.chats import note_reachability
from manga_backend.kernel.telegram.service.updates import handle_update, store_update
from manga_backend.kernel.telegram.types import Reachability
from manga_backend.kit.app import App
from tests.kernel.factories import at_work, new_chat
from tests.support import at_once, counted_queries


def known(app: App, chat: int) -> Reachability | None:
    with at_work(app):
        return reachability_of([chat]).get(chat)


def note(app: App, chat: int, state: Reachability) -> None:
    with at_work(app):
        note_reachability(chat, state)


def heard(app: App, **payload: Any) -> None:
    update = {"update_id": new_chat(), **payload}
    with at_work(app):
        store_update(update)
    with app.app_context():
        handle_update(update["update_id"])


def written(chat: int, text: str = "hello", kind: str = "private") -> dict[str, Any]:
    person = {"id": chat, "is_bot": False, "first_name": "x"}
    return {"message_id": 1, "from": person, "chat": {"id": chat, "type": kind}, "text": text}


def member(chat: int, status: str, kind: str = "private") -> dict[str, Any]:
    return {"chat": {"id": chat, "type": kind}, "new_chat_member": {"status": status}}


class TestNoteReachability:
    def test_the_last_word_counts(self, app: App) -> None:
        chat = new_chat()
        assert known(app, chat) is None
        for state in (Reachability.ENABLED, Reachability.BLOCKED, Reachability.BLOCKED):
            note(app, chat, state)
            assert known(app, chat) is state

    def test_what_is_known_already_is_not_written(self, app: App) -> None:
        chat = new_chat()
        note(app, chat, Reachability.ENABLED)
        with counted_queries(app) as seen:
            note(app, chat, Reachability.ENABLED)
        assert [s.split()[0] for s in seen if s.split()[0] != "BEGIN"] == ["SELECT"]

    def test_groups_are_not_kept(self, app: App) -> None:
        note(app, -100, Reachability.BLOCKED)
        assert known(app, -100) is None

    def test_many_at_once_keep_one_row(self, pg_app: App) -> None:
        chat = new_chat()
        states = [Reachability.ENABLED, Reachability.BLOCKED] * 4
        at_once(8, lambda number: note(pg_app, chat, states[number]))
        with at_work(pg_app) as current:
            assert current.query(TelegramChat).filter_by(chat_id=chat).count() == 1

    def test_many_chats_are_read_by_one_statement(self, app: App) -> None:
        chats = [new_chat() for _ in range(3)]
        for chat in chats:
            note(app, chat, Reachability.ENABLED)
        with counted_queries(app) as seen, at_work(app):
            assert len(reachability_of([*chats, new_chat()])) == 3
            assert reachability_of([]) == {}
        assert len([s for s in seen if s.startswith("SELECT")]) == 1


class TestHeard:
    @pytest.mark.parametrize("text", ["hello", "/help", "/start wrong-code", "/nonsense"])
    def test_whoever_writes_can_be_written_to(self, app: App, text: str) -> None:
        chat = new_chat()
        note(app, chat, Reachability.BLOCKED)
        heard(app, message=written(chat, text))
        assert known(app, chat) is Reachability.ENABLED

    def test_a_block_and_its_end(self, app: App) -> None:
        chat = new_chat()
        heard(app, my_chat_member=member(chat, "kicked"))
        assert known(app, chat) is Reachability.BLOCKED
        heard(app, my_chat_member=member(chat, "member"))
        assert known(app, chat) is Reachability.ENABLED

    @pytest.mark.parametrize("kind", ["group", "supergroup", "channel"])
    def test_other_chats_say_nothing_of_their_members(self, app: App, kind: str) -> None:
        chat = new_chat()
        heard(app, message=written(chat, kind=kind))
        heard(app, my_chat_member=member(chat, "kicked", kind))
        assert known(app, chat) is None

    @pytest.mark.parametrize(
        "payload",
        [
            {"my_chat_member": {"chat": {"id": 7, "type": "private"}}},
            {"my_chat_member": member(7, "restricted")},
            {"my_chat_member": "x"},
            {"message": {"chat": {"type": "private"}}},
        ],
        ids=str,
    )
    def test_strange_updates_are_passed_over(self, app: App, payload: dict[str, Any]) -> None:
        heard(app, **payload)
        assert known(app, 7) is None
