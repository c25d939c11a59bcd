"""Everything the stand-in remembers (people, chats, messages, presses) and how it changes."""

from __future__ import annotations

import copy
import random
import re
import time
from collections import deque
from collections.abc import Callable

from .entities import parse_text
from .model import Call, Callback, Chat, Json, Message, Monitor, Person
from .updates import UpdateQueue

CALLS_KEPT = 200_000
TELEGRAM_USER_ID = 777_000  # Telegram's own account stands for the admin who removes the bot
ADMINISTRATOR_RIGHTS = dict.fromkeys(
    (
        "can_manage_chat",
        "can_delete_messages",
        "can_manage_video_chats",
        "can_restrict_members",
        "can_promote_members",
        "can_change_info",
        "can_invite_users",
        "can_post_stories",
        "can_edit_stories",
        "can_delete_stories",
        "can_post_messages",
        "can_edit_messages",
    ),
    True,
)


class State:
    """Guarded by one lock, `monitor`; every public method takes it (it is reentrant)."""

    def __init__(
        self, bot_id: int, username: str, *, open_chats: bool, callback_ttl_seconds: float
    ) -> None:
        self.monitor = Monitor()
        self.updates = UpdateQueue(self.monitor, callback_ttl_seconds)
        self.bot: Json = {
            "id": bot_id,
            "is_bot": True,
            "first_name": "Two Manga",
            "username": username,
        }
        self.open_chats = open_chats
        self.callback_ttl_seconds = callback_ttl_seconds
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

    def add_group(self, chat_id: int, title: str, kind: str) -> Chat:
        with self.monitor:
            chat = self.chats.setdefault(chat_id, Chat(chat_id, kind, title))
            chat.title, chat.type, chat.closed = title, kind, ""
            self.monitor.mark()
            return chat

    def find_chat(self, reference: str) -> Chat | None:
        """A chat by id or @username, as the bot names it."""
        with self.monitor:
            if reference.startswith("@"):
                name = reference[1:].lower()
                named = (c for c in self.chats.values() if (c.username or "").lower() == name)
                return next((chat for chat in named if not chat.is_private), None)
            if not re.fullmatch(r"[+-]?\d{1,18}", reference):
                return None
            chat_id = int(reference)
            if chat_id > 0 and self.open_chats:
                return self.open_private_chat(chat_id)
            return self.chats.get(chat_id)

    def close_chat(self, chat_id: int, reason: str) -> None:
        """The bot is "blocked" or "kicked", or the account "deactivated"; "" opens it again."""
        with self.monitor:
            chat = self.chats[chat_id] if chat_id < 0 else self.open_private_chat(chat_id)
            if chat.closed == reason:
                return
            was_member, is_member = not chat.closed, not reason
            chat.closed = reason
            self.monitor.mark()
            if reason == "deactivated" or was_member == is_member:
                return  # nobody is left to tell the bot
            actor = self.person(chat_id if chat.is_private else TELEGRAM_USER_ID)
            role = "member" if chat.is_private else "administrator"
            self.updates.push(
                "my_chat_member",
                {
                    "chat": chat.to_api(),
                    "from": actor.to_api(),
                    "date": int(time.time()),
                    "old_chat_member": self._membership(role if was_member else "kicked"),
                    "new_chat_member": self._membership(role if is_member else "kicked"),
                },
            )

    def _membership(self, status: str) -> Json:
        member: Json = {"user": dict(self.bot), "status": status}
        if status == "kicked":
            member["until_date"] = 0
        if status == "administrator":
            member |= {"can_be_edited": False, "is_anonymous": False, **ADMINISTRATOR_RIGHTS}
        return member

    # --- messages ---------------------------------------------------------------------------

    def add_message(self, chat: Chat, message: Message) -> Message:
        """Puts a message at the end of the chat; it gets its id here."""
        with self.monitor:
            chat.last_message_id += 1
            message.message_id = chat.last_message_id
            chat.messages[message.message_id] = message
            self.monitor.mark()
            return message

    def message_json(self, message: Message, *, with_reply: bool = True) -> Json:
        """The Message object of the Bot API."""
        with self.monitor:
            chat = self.chats[message.chat_id]
            result: Json = {"message_id": message.message_id}
            if chat.type == "channel":
                result["sender_chat"] = chat.to_api()
            elif message.sender_id is None:
                result["from"] = dict(self.bot)
            else:
                result["from"] = self.person(message.sender_id).to_api()
            result |= {"chat": chat.to_api(), "date": message.date}
            if message.edit_date:
                result["edit_date"] = message.edit_date
            replied = chat.messages.get(message.reply_to or 0)
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
            return copy.deepcopy(result)

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
            now = int(time.time())
            message = Message(user_id, 0, now, plain, plain, entities, sender_id=user_id)
            self.add_message(chat, message)
            return self.updates.push("message", self.message_json(message))

    # --- presses ----------------------------------------------------------------------------

    def press(self, user_id: int, chat_id: int, message_id: int, data: str) -> str:
        """A person presses a button, or a bad client says so; the id of the callback query."""
        with self.monitor:
            message = self.chats[chat_id].messages[message_id]
            query_id = str(random.randrange(10**17, 10**18))
            expires_at = time.time() + self.callback_ttl_seconds
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
            return callback if callback and callback.expires_at > time.time() else None

    # --- waiting ----------------------------------------------------------------------------

    def wait_until(self, ready: Callable[[], bool], timeout: float) -> bool:
        """Waits for a change that makes `ready` true; called with the lock held."""
        with self.monitor:
            return self.monitor.wait_for(lambda: ready() or self.monitor.stopped, timeout)

    def last_at(self, chat: Chat) -> int:
        newest = chat.messages.get(chat.last_message_id)
        return max(newest.date, newest.edit_date) if newest else 0
