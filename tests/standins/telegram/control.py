"""The control API: what BotApiStandIn can do, over HTTP, for other processes and the page."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from .dispatch import Reply, json_reply
from .model import Callback, Json, Message
from .state import State

if TYPE_CHECKING:
    from .standin import BotApiStandIn

LONGEST_WAIT_SECONDS = 60.0


class ControlApi:
    """Routes below /_control/; fields are the arguments of the method of the same name.

    POST, a JSON object in (`Content-Type: application/json`), a JSON object out:
      send_text {user_id, text, first_name?, username?, language_code?} → {update_id}
      press {user_id, message_id, chat_id?, text_contains?, data?} → {callback_id}
      press_raw {user_id, message_id, data, chat_id?} → {callback_id}
      pay {user_id, link} → {query_id}
      add_person {user_id, first_name?, username?, language_code?}   open_chat {user_id}
      block | unblock | deactivate {user_id}
      add_stranger {user_id, is_known?}   add_group {chat_id, title, type?, can_post?}
      kick | leave {chat_id}   upgrade_group {chat_id, new_chat_id}   advance {seconds}
      fail_next {method, count?, status?, description?, retry_after?, garbage?, delay?,
        drop_connection?}
      clear_faults {}   go_down {}   come_back {}   reset_counts {}     these answer {}
    GET, arguments in the query:
      messages ?chat_id&last? (0: all) → {messages: [message]}
      wait_for_message ?chat_id&contains&timeout&after_message_id → {message}
      wait_for_callback_answer ?callback_id&timeout → {text, show_alert}
      callback_answers → {answers: {callback_id: text}}
      calls ?method → {calls: [{method, params, at, status, description}]}
      counts → {sent, refused_429, other_errors, errors_by_status, injected, first_at, last_at,
        per_second: [number]}
      commands → {commands}   checkout ?query_id → {outcome} ("": none yet, "paid", or why not)
      updates → {pending, poll_waiting, concurrent_polls_seen,
        log: [{update_id, kind, deliveries, outcome}]}
      chats → {version, bot, chats: [{id, type, title, username, closed, last_message_id, last_at}]}
      changes ?since&timeout → as chats, once version differs from `since` or time is over

    A message is {chat_id, message_id, date, text, html, entities, sender_id (null: the bot),
    sender, reply_markup, document, reply_to, edit_date, history}. Refused: 400 {error}; waited
    for in vain, or not there: 404 {error}.
    """

    def __init__(self, stand_in: BotApiStandIn, state: State) -> None:
        self._state = state
        self._stand_in = stand_in
        self._actions: dict[str, Callable[..., Any]] = {
            "send_text": lambda **given: {"update_id": stand_in.send_text(**given)},
            "press": lambda **given: {"callback_id": stand_in.press(**given)},
            "pay": lambda **given: {"query_id": stand_in.pay(**given)},
            "press_raw": lambda **given: {"callback_id": stand_in.press_raw(**given)},
            "add_person": stand_in.add_person,
            "open_chat": stand_in.open_chat,
            "block": stand_in.block,
            "unblock": stand_in.unblock,
            "deactivate": stand_in.deactivate,
            "add_group": stand_in.add_group,
            "kick": stand_in.kick,
            "leave": stand_in.leave,
            "upgrade_group": stand_in.upgrade_group,
            "add_stranger": stand_in.add_stranger,
            "advance": stand_in.advance,
            "reset_counts": stand_in.reset_counts,
            "fail_next": stand_in.fail_next,
            "clear_faults": stand_in.clear_faults,
            "go_down": stand_in.go_down,
            "come_back": stand_in.come_back,
        }
        self._questions: dict[str, Callable[..., Json]] = {
            "messages": self._messages,
            "wait_for_message": self._wait_for_message,
            "wait_for_callback_answer": self._wait_for_callback_answer,
            "callback_answers": lambda: {"answers": stand_in.callback_answers()},
            "calls": self._calls,
            "counts": stand_in.counts,
            "commands": lambda: {"commands": stand_in.commands()},
            "checkout": lambda query_id: {"outcome": stand_in.checkout_outcome(query_id)},
            "updates": self._updates,
            "chats": self._chats,
            "changes": self._changes,
        }

    def serve(self, verb: str, name: str, query: str, content_type: str, body: bytes) -> Reply:
        handler = (self._actions if verb == "POST" else self._questions).get(name)
        if handler is None:
            return json_reply(404, {"error": f"no {verb} /_control/{name}"})
        try:
            return json_reply(
                200, handler(**self._arguments(verb, query, content_type, body)) or {}
            )
        except (TypeError, ValueError) as error:
            return json_reply(400, {"error": str(error)})
        except (AssertionError, KeyError) as error:
            return json_reply(404, {"error": str(error)})

    @staticmethod
    def _arguments(verb: str, query: str, content_type: str, body: bytes) -> Json:
        if verb != "POST":
            return dict(parse_qsl(query))
        # A page of another origin can't send this type without asking first, and gets no answer.
        if content_type.split(";")[0].strip() != "application/json":
            raise ValueError("send application/json")
        given = json.loads(body or b"{}")
        if not isinstance(given, dict):
            raise ValueError("send a JSON object")
        return given

    def _message(self, message: Message) -> Json:
        sender = self._state.bot["first_name"]
        if message.sender_id is not None:
            sender = self._state.person(message.sender_id).first_name
        return asdict(message) | {"sender": sender}

    def _messages(self, chat_id: str, last: str = "") -> Json:
        messages = self._stand_in.messages(int(chat_id))
        return {"messages": [self._message(message) for message in messages[-int(last or 0) :]]}

    def _wait_for_message(
        self, chat_id: str, contains: str = "", timeout: str = "10", after_message_id: str = "0"
    ) -> Json:
        message = self._stand_in.wait_for_message(
            int(chat_id), contains or None, wait_seconds(timeout), int(after_message_id)
        )
        return {"message": self._message(message)}

    def _wait_for_callback_answer(self, callback_id: str, timeout: str = "10") -> Json:
        text = self._stand_in.wait_for_callback_answer(callback_id, wait_seconds(timeout))
        callback: Callback = self._state.callbacks[callback_id]
        return {"text": text, "show_alert": callback.show_alert}

    def _calls(self, method: str = "") -> Json:
        return {"calls": [asdict(call) for call in self._stand_in.calls(method or None)]}

    def _updates(self) -> Json:
        return {
            "pending": self._stand_in.pending_updates(),
            "poll_waiting": self._stand_in.poll_waiting,
            "concurrent_polls_seen": self._stand_in.concurrent_polls_seen,
            "log": [asdict(record) for record in self._stand_in.update_log()],
        }

    def _chats(self) -> Json:
        with self._state.monitor:
            chats = [
                {
                    "id": chat.id,
                    "type": chat.type,
                    "title": chat.title,
                    "username": chat.username,
                    "closed": chat.closed,
                    "last_message_id": chat.last_message_id,
                    "last_at": self._state.last_at(chat),
                }
                for chat in self._state.chats.values()
            ]
            return {"version": self._state.monitor.version, "bot": self._state.bot, "chats": chats}

    def _changes(self, since: str = "-1", timeout: str = "25") -> Json:
        monitor = self._state.monitor
        # "not equal" rather than "above": after a restart the count begins anew.
        self._state.wait_until(lambda: monitor.version != int(since), wait_seconds(timeout))
        return self._chats()


def wait_seconds(timeout: str) -> float:
    return min(max(float(timeout), 0.0), LONGEST_WAIT_SECONDS)
