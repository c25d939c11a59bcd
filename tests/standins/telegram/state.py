"""Everything the stand-in remembers (people, chats, messages, presses) and how it changes."""

from __future__ import annotations

import random
import re
from collections import deque
from collections.abc import Callable

from .entities import parse_text
from .members import UNTOLD, bot_member
from .model import Call, Callback, Chat, Clock, Json, Message, Monitor, Person
from .updates import UpdateQueue

CALLS_KEPT = 200_000
TELEGRAM_USER_ID = 777_000  # Telegram's own account stands for the admin who removes the bot
CHAT_ID = re.compile(r"[+-]?\d{1,18}")


class State:
    """Guarded by one lock, `monitor`; every public method takes it (it is reentrant)."""

    def __init__(
        self,
        bot_id: int,
        username: str,
        *,
        open_chats: bool,
        callback_life_seconds: float,
        keep_last: int | None,
    ) -> None:
        self.monitor = Monitor()
        self.clock = Clock()
        self.updates = UpdateQueue(self.monitor, self.clock, callback_life_seconds)
        self.bot: Json = {
            "id": bot_id,
            "is_bot": True,
            "first_name": "Two Manga",
            "username": username,
        }
        self.open_chats = open_chats
        self.callback_life_seconds = callback_life_seconds
        self.keep_last = keep_last
        self.people: dict[int, Person] = {}
        self.chats: dict[int, Chat] = {}
        self.callbacks: dict[str, Callback] = {}
        self.commands: dict[str, list[Json]] = {}
        self.files: dict[str, bytes] = {}
        self.calls: deque[Call] = deque(maxlen=CALLS_KEPT)

    # --- people and chats -------------------------------------------------------------------

    def person(
        self,
        user_id: int,
        *,
        first_name: str | None = None,
        username: str | None = None,
        language_code: str | None = None,
    ) -> Person:
        """The person with this id, made up when new; what is given replaces what was known."""
        with self.monitor:
            person = self.people.setdefault(user_id, Person(user_id, f"User {user_id}"))
            person.first_name = first_name or person.first_name
            person.username = username or person.username
            person.language_code = language_code or person.language_code
            chat = self.chats.get(user_id)
            if chat:
                chat.title, chat.username = person.first_name, person.username
            return person

    def open_private_chat(self, user_id: int) -> Chat:
        with self.monitor:
            person = self.person(user_id)
            if user_id not in self.chats:
                self.chats[user_id] = Chat(user_id, "private", person.first_name, person.username)
                self.monitor.mark()
            return self.chats[user_id]

    def start_chat(self, user_id: int) -> None:
        with self.monitor:
            chat = self.open_private_chat(user_id)
            if chat.closed in ("stranger", "unknown"):
                chat.closed = ""
                self.monitor.mark()

    def add_stranger(self, user_id: int, reason: str) -> None:
        with self.monitor:
            person = self.person(user_id)
            self.chats[user_id] = Chat(
                user_id, "private", person.first_name, person.username, closed=reason
            )
            self.monitor.mark()

    def add_group(self, chat_id: int, title: str, kind: str, *, can_post: bool = True) -> Chat:
        with self.monitor:
            chat = self.chats.setdefault(chat_id, Chat(chat_id, kind, title))
            chat.title, chat.type, chat.closed, chat.can_post = title, kind, "", can_post
            self.monitor.mark()
            return chat

    def upgrade_group(self, chat_id: int, new_chat_id: int) -> None:
        with self.monitor:
            group = self.chats[chat_id]
            self.add_group(new_chat_id, group.title, "supergroup")
            group.migrated_to = new_chat_id

    def find_chat(self, reference: str) -> Chat | None:
        """A chat by id or @username, as the bot names it."""
        with self.monitor:
            if reference.startswith("@"):
                name = reference[1:].lower()
                named = (c for c in self.chats.values() if (c.username or "").lower() == name)
                return next((chat for chat in named if not chat.is_private), None)
            if not CHAT_ID.fullmatch(reference):
                return None
            chat_id = int(reference)
            chat = self.chats.get(chat_id)
            if chat is None and chat_id > 0 and self.open_chats:
                return self.open_private_chat(chat_id)
            return chat

    def close_chat(self, chat_id: int, reason: str) -> None:
        """Closes a chat for the bot (see Chat); "" opens it again."""
        with self.monitor:
            chat = self.chats[chat_id] if chat_id < 0 else self.open_private_chat(chat_id)
            if chat.closed == reason:
                return
            before, old = chat.closed, bot_member(self.bot, chat)
            chat.closed = reason
            self.monitor.mark()
            if before in UNTOLD or reason in UNTOLD:
                return
            actor = self.person(chat_id if chat.is_private else TELEGRAM_USER_ID)
            self.updates.push(
                "my_chat_member",
                {
                    "chat": chat.to_api(),
                    "from": actor.to_api(),
                    "date": int(self.clock.now()),
                    "old_chat_member": old,
                    "new_chat_member": bot_member(self.bot, chat),
                },
            )

    # --- messages ---------------------------------------------------------------------------

    def add_message(self, chat: Chat, message: Message) -> Message:
        """Puts a message at the end of the chat; it gets its id here."""
        with self.monitor:
            chat.last_message_id += 1
            message.message_id = chat.last_message_id
            chat.messages[message.message_id] = message
            if self.keep_last is not None and len(chat.messages) > self.keep_last:
                del chat.messages[next(iter(chat.messages))]
            self.monitor.mark()
            return message

    def message_json(self, message: Message, *, with_reply: bool = True) -> Json:
        """The Message object of the Bot API.

        It shares entities, markup and document with the message: these are replaced, never changed.
        """
        with self.monitor:
            chat = self.chats[message.chat_id]
            result: Json = {"message_id": message.message_id}
            if chat.type == "channel":
                result["sender_chat"] = chat.to_api()
            elif message.sender_id is None:
                result["from"] = self.bot
            else:
                result["from"] = self.person(message.sender_id).to_api()
            result["chat"], result["date"] = chat.to_api(), message.date
            if message.edit_date:
                result["edit_date"] = message.edit_date
            replied = chat.messages.get(message.reply_to) if message.reply_to else None
            if replied and with_reply:
                result["reply_to_message"] = self.message_json(replied, with_reply=False)
            text_field, entities_field = "text", "entities"
            if message.document:
                result["document"] = message.document
                text_field, entities_field = "caption", "caption_entities"
            if message.text:
                result[text_field] = message.text
            if message.entities:
                result[entities_field] = message.entities
            if message.reply_markup:
                result["reply_markup"] = message.reply_markup
            return result

    def receive_text(self, user_id: int, text: str) -> int:
        """A private message from a person to the bot; the id of its update."""
        with self.monitor:
            chat = self.open_private_chat(user_id)
            if chat.closed == "deactivated":
                raise ValueError(f"user {user_id} is deactivated and can't write")
            self.close_chat(user_id, "")  # who writes to a blocked bot has unblocked it first
            plain, entities = parse_text(text, "")
            if not plain:
                raise ValueError("Telegram sends no empty message")
            now = int(self.clock.now())
            message = Message(user_id, 0, now, plain, plain, entities, sender_id=user_id)
            self.add_message(chat, message)
            return self.updates.push("message", self.message_json(message))

    # --- presses ----------------------------------------------------------------------------

    def press(self, user_id: int, chat_id: int, message_id: int, data: str) -> str:
        """A person presses a button, or a bad client says so; the id of the callback query."""
        with self.monitor:
            message = self.chats[chat_id].messages[message_id]
            query_id = str(random.randrange(10**17, 10**18))
            expires_at = self.clock.now() + self.callback_life_seconds
            self.callbacks[query_id] = Callback(
                query_id, user_id, chat_id, message_id, data, expires_at
            )
            self.updates.push(
                "callback_query",
                {
                    "id": query_id,
                    "from": self.person(user_id).to_api(),
                    "message": self.message_json(message),
                    "chat_instance": str(chat_id * 7919),
                    "data": data,
                },
            )
            return query_id

    def open_callback(self, query_id: str) -> Callback | None:
        """The query, unless it is unknown or too old."""
        with self.monitor:
            callback = self.callbacks.get(query_id)
            return callback if callback and callback.expires_at > self.clock.now() else None

    # --- waiting ----------------------------------------------------------------------------

    def wait_until(self, ready: Callable[[], bool], timeout: float) -> bool:
        """Waits for a change that makes `ready` true, which is asked with the lock held."""
        with self.monitor:
            return self.monitor.wait_for(lambda: ready() or self.monitor.stopped, timeout)

    def last_at(self, chat: Chat) -> int:
        newest = chat.messages.get(chat.last_message_id)
        return max(newest.date, newest.edit_date) if newest else 0
