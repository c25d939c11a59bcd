"""The Bot API: which methods there are, and those about updates, commands, chats and files."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from .entities import utf16_length
from .members import bot_member, check_readable
from .messages import MessageMethods
from .model import ApiError, Json, bad_request
from .params import Params
from .stars import Stars
from .state import State
from .updates import SET_WEBHOOK, Webhook

CHAT_ACTIONS = {
    "typing",
    "upload_photo",
    "record_video",
    "upload_video",
    "record_voice",
    "upload_voice",
    "upload_document",
    "choose_sticker",
    "find_location",
    "record_video_note",
    "upload_video_note",
}
CHAT_SCOPES = {"chat", "chat_administrators", "chat_member"}
SCOPES = CHAT_SCOPES | {
    "default",
    "all_private_chats",
    "all_group_chats",
    "all_chat_administrators",
}

Alive = Callable[[], bool]


class BotApi:
    def __init__(self, state: State, messages: MessageMethods, stars: Stars) -> None:
        self._state = state
        self._messages = messages
        self._methods: dict[str, Callable[[Params], Any]] = {
            "getme": self.get_me,
            "setwebhook": self.set_webhook,
            "deletewebhook": self.delete_webhook,
            "getwebhookinfo": lambda params: state.updates.webhook_info(),
            "sendmessage": messages.send_message,
            "senddocument": messages.send_document,
            "editmessagetext": messages.edit_message_text,
            "editmessagereplymarkup": messages.edit_message_reply_markup,
            "deletemessage": messages.delete_message,
            "answercallbackquery": messages.answer_callback_query,
            "setmycommands": self.set_my_commands,
            "getmycommands": self.get_my_commands,
            "deletemycommands": self.delete_my_commands,
            "getchat": self.get_chat,
            "getchatmember": self.get_chat_member,
            "getfile": self.get_file,
            "sendchataction": self.send_chat_action,
            "createinvoicelink": stars.create_invoice_link,
            "answerprecheckoutquery": stars.answer_pre_checkout_query,
            "refundstarpayment": stars.refund_star_payment,
        }

    def call(self, method: str, params: Params, alive: Alive) -> Any:
        """Carries a method out; `method` is in small letters.

        `alive` tells whether the client still waits for the answer.
        """
        if method == "getupdates":
            return self.get_updates(params, alive)
        handler = self._methods.get(method)
        if handler is None:
            raise ApiError(404)
        with self._state.monitor:
            return handler(params)

    # --- the bot and its updates ------------------------------------------------------------

    def get_me(self, params: Params) -> Json:
        return self._state.bot | {
            "can_join_groups": True,
            "can_read_all_group_messages": False,
            "supports_inline_queries": False,
            "can_connect_to_business": False,
            "has_main_web_app": False,
        }

    def get_updates(self, params: Params, alive: Alive) -> list[Json]:
        self._remember_allowed_updates(params)
        offset, limit = params.integer("offset"), params.integer("limit", 100)
        return self._state.updates.poll(offset, limit, params.integer("timeout"), alive)

    def _remember_allowed_updates(self, params: Params) -> None:
        allowed = params.parsed("allowed_updates", "allowed_updates")
        if isinstance(allowed, list):
            with self._state.monitor:
                self._state.updates.allowed_updates = [str(kind).lower() for kind in allowed]

    def set_webhook(self, params: Params) -> bool:
        url, secret = params.text("url").strip(), params.text("secret_token")
        if not url:
            return self.delete_webhook(params)
        if not re.fullmatch(r"[A-Za-z0-9_-]{0,256}", secret):
            raise bad_request("secret token contains unallowed characters")
        parts = urlsplit(url if "://" in url else f"https://{url}")
        if parts.hostname not in ("127.0.0.1", "localhost"):
            raise bad_request("bad webhook: this stand-in delivers to loopback only")
        self._remember_allowed_updates(params)
        queue = self._state.updates
        if params.boolean("drop_pending_updates"):
            queue.forget_all()
        connections = min(max(params.integer("max_connections", 40), 1), 100)
        queue.webhook = Webhook(parts.geturl(), secret, connections)
        queue.end_waiting_poll(SET_WEBHOOK)
        self._state.monitor.mark_updates()
        return True

    def delete_webhook(self, params: Params) -> bool:
        if params.boolean("drop_pending_updates"):
            self._state.updates.forget_all()
        self._state.updates.webhook = Webhook()
        self._state.monitor.mark_updates()
        return True

    # --- commands, chats, files -------------------------------------------------------------

    def set_my_commands(self, params: Params) -> bool:
        key = self._commands_key(params)
        given = params.parsed("commands", "list of bot commands")
        if not isinstance(given, list):
            raise bad_request("expected an Array of BotCommand")
        if len(given) > 100:
            raise bad_request("BOT_COMMANDS_TOO_MUCH")
        commands = []
        for item in given:
            if not isinstance(item, dict):
                raise bad_request("expected an Object as BotCommand")
            name = str(item.get("command", "")).strip().removeprefix("/")
            description = str(item.get("description", "")).strip()
            if not re.fullmatch(r"[a-z0-9_]{1,32}", name):
                raise bad_request("BOT_COMMAND_INVALID")
            if not 1 <= utf16_length(description) <= 256:
                raise bad_request("BOT_COMMAND_DESCRIPTION_INVALID")
            commands.append({"command": name, "description": description})
        self._state.commands[key] = commands
        self._state.monitor.mark()
        return True

    def get_my_commands(self, params: Params) -> list[Json]:
        return self._state.commands.get(self._commands_key(params), [])

    def delete_my_commands(self, params: Params) -> bool:
        self._state.commands.pop(self._commands_key(params), None)
        return True

    def _commands_key(self, params: Params) -> str:
        scope = params.parsed("scope", "BotCommandScope") or {"type": "default"}
        kind = scope.get("type") if isinstance(scope, dict) else None
        if kind not in SCOPES:
            raise bad_request("can't parse BotCommandScope: Unsupported type specified")
        if kind in CHAT_SCOPES and not self._state.find_chat(str(scope.get("chat_id", ""))):
            raise bad_request("chat not found")
        language = params.text("language_code")
        if language and not re.fullmatch(r"[a-z]{2}", language):
            raise bad_request("invalid language code specified")
        return json.dumps([scope, language], sort_keys=True)

    def get_chat(self, params: Params) -> Json:
        chat = self._messages.known_chat(params)
        check_readable(chat)
        return chat.to_api() | {
            "accent_color_id": 0,
            "max_reaction_count": 11,
            "accepted_gift_types": dict.fromkeys(
                (
                    "unlimited_gifts",
                    "limited_gifts",
                    "unique_gifts",
                    "premium_subscription",
                    "gifts_from_channels",
                ),
                False,
            ),
        }

    def get_chat_member(self, params: Params) -> Json:
        chat, user_id = self._messages.known_chat(params), params.integer("user_id")
        check_readable(chat)
        if user_id == self._state.bot["id"]:
            return bot_member(self._state.bot, chat)
        person = self._state.people.get(user_id)
        if person is None:
            raise bad_request("user not found")
        is_in = user_id == chat.id or not chat.is_private
        return {"user": person.to_api(), "status": "member" if is_in else "left"}

    def get_file(self, params: Params) -> Json:
        file_id = params.text("file_id")
        content = self._state.files.get(file_id)
        if content is None:
            raise bad_request("wrong file_id or the file is temporarily unavailable")
        return {
            "file_id": file_id,
            "file_unique_id": file_id[-16:],
            "file_size": len(content),
            "file_path": f"documents/{file_id}",
        }

    def send_chat_action(self, params: Params) -> bool:
        if params.text("action").lower() not in CHAT_ACTIONS:
            raise bad_request("wrong parameter action in request")
        self._messages.writable_chat(params)
        return True
