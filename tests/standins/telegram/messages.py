"""The methods that send, edit, delete and answer, with the refusals of the real server."""

from __future__ import annotations

import secrets

from .entities import parse_text, trimmed, utf16_length
from .limits import RateLimiter
from .markup import read_markup
from .members import check_writable
from .model import Chat, Json, Message, bad_request
from .params import Params
from .state import State

TEXT_MAX = 4096
CAPTION_MAX = 1024
CALLBACK_ANSWER_MAX = 200
DELETE_WITHIN_SECONDS = 48 * 3600
NOT_MODIFIED = (
    "message is not modified: specified new message content and reply markup are exactly the same"
    " as a current content and reply markup of the message"
)
QUERY_TOO_OLD = "query is too old and response timeout expired or query ID is invalid"


class MessageMethods:
    """Each method is called with the lock of the state held."""

    def __init__(self, state: State, limiter: RateLimiter | None) -> None:
        self._state = state
        self._limiter = limiter

    def send_message(self, params: Params) -> Json:
        text, entities = self._read_text(params, "text", "entities")
        if not text:
            raise bad_request("message text is empty")
        markup = read_markup(params)
        chat = self.writable_chat(params)
        check_length(text, TEXT_MAX, "message is too long")
        reply_to = self._read_reply(params, chat)
        self._spend(chat)
        html = params.text("text").strip()
        html = text if html == text else html  # one object instead of two
        message = Message(chat.id, 0, int(self._state.clock.now()), text, html, entities)
        message.reply_markup, message.reply_to = markup, reply_to
        return self._state.message_json(self._state.add_message(chat, message))

    def send_document(self, params: Params) -> Json:
        caption, entities = self._read_text(params, "caption", "caption_entities")
        markup = read_markup(params)
        chat = self.writable_chat(params)
        check_length(caption, CAPTION_MAX, "message caption is too long")
        document = self._read_document(params)
        reply_to = self._read_reply(params, chat)
        self._spend(chat)
        html = params.text("caption").strip()
        message = Message(chat.id, 0, int(self._state.clock.now()), caption, html, entities)
        message.document, message.reply_markup, message.reply_to = document, markup, reply_to
        return self._state.message_json(self._state.add_message(chat, message))

    def _read_document(self, params: Params) -> Json:
        given = params.text("document")
        name = given.removeprefix("attach://") if given.startswith("attach://") else "document"
        upload = params.files.get(name)
        if upload is None:
            if not given:
                raise bad_request("there is no document in the request")
            if given not in self._state.files:
                raise bad_request("wrong file identifier/HTTP URL specified")
            size = len(self._state.files[given])
            return {"file_id": given, "file_unique_id": given[-16:], "file_size": size}
        if not upload.content:
            raise bad_request("file must be non-empty")
        file_id = "BQAC" + secrets.token_urlsafe(36)
        self._state.files[file_id] = upload.content
        return {
            "file_name": upload.name,
            "mime_type": upload.mime_type,
            "file_id": file_id,
            "file_unique_id": file_id[-16:],
            "file_size": len(upload.content),
        }

    def edit_message_text(self, params: Params) -> Json:
        text, entities = self._read_text(params, "text", "entities")
        if not text:
            raise bad_request("message text is empty")
        markup = read_markup(params)
        message = self._editable_message(params)
        check_length(text, TEXT_MAX, "message is too long")
        if message.document:
            raise bad_request("there is no text in the message to edit")
        current = (message.text, message.entities, message.reply_markup)
        if current == (text, entities, markup):
            raise bad_request(NOT_MODIFIED)
        message.history.append(message.html)
        message.text, message.entities = text, entities
        message.html = params.text("text").strip()
        return self._edited(message, markup)

    def edit_message_reply_markup(self, params: Params) -> Json:
        markup = read_markup(params)
        message = self._editable_message(params)
        if message.reply_markup == markup:
            raise bad_request(NOT_MODIFIED)
        return self._edited(message, markup)

    def _edited(self, message: Message, markup: Json | None) -> Json:
        """A keyboard that is not sent again is gone: that is how Telegram edits."""
        self._spend(self._state.chats[message.chat_id])
        message.reply_markup = markup
        message.edit_date = int(self._state.clock.now())
        self._state.monitor.mark()
        return self._state.message_json(message)

    def delete_message(self, params: Params) -> bool:
        chat = self.writable_chat(params)
        message = chat.messages.get(params.integer("message_id"))
        if message is None:
            raise bad_request("message to delete not found")
        if self._state.clock.now() - message.date > DELETE_WITHIN_SECONDS:
            raise bad_request("message can't be deleted for everyone")
        del chat.messages[message.message_id]
        self._state.monitor.mark()
        return True

    def answer_callback_query(self, params: Params) -> bool:
        text = params.text("text")
        check_length(text, CALLBACK_ANSWER_MAX, "MESSAGE_TOO_LONG")
        callback = self._state.open_callback(params.text("callback_query_id").strip())
        if callback is None:
            raise bad_request(QUERY_TOO_OLD)
        if callback.answer is None:  # the user's app has stopped listening after the first answer
            callback.answer, callback.show_alert = text, params.boolean("show_alert")
            self._state.monitor.mark()
        return True

    # --- reading parameters -----------------------------------------------------------------

    def _read_text(self, params: Params, name: str, entities_name: str) -> tuple[str, list[Json]]:
        source, given = params.text(name), params.parsed(entities_name, "message entities")
        if isinstance(given, list) and not params.text("parse_mode"):
            return trimmed(source, given)
        return parse_text(source, params.text("parse_mode"))

    def known_chat(self, params: Params) -> Chat:
        reference = params.text("chat_id").strip()
        if not reference:
            raise bad_request("chat_id is empty")
        chat = self._state.find_chat(reference)
        if chat is None:
            raise bad_request("chat not found")
        return chat

    def writable_chat(self, params: Params) -> Chat:
        chat = self.known_chat(params)
        check_writable(chat)
        return chat

    def _editable_message(self, params: Params) -> Message:
        if not params.text("chat_id") or not params.text("message_id"):
            raise bad_request("message identifier is not specified")
        message = self.writable_chat(params).messages.get(params.integer("message_id"))
        if message is None:
            raise bad_request("message to edit not found")
        if not message.from_bot:
            raise bad_request("message can't be edited")
        return message

    def _read_reply(self, params: Params, chat: Chat) -> int | None:
        given = params.parsed("reply_parameters", "reply parameters")
        given = given if isinstance(given, dict) else {}
        message_id = given.get("message_id") or params.integer("reply_to_message_id")
        if not message_id or message_id in chat.messages:
            return message_id or None
        if given.get("allow_sending_without_reply") or params.boolean(
            "allow_sending_without_reply"
        ):
            return None
        raise bad_request("message to be replied not found")

    def _spend(self, chat: Chat) -> None:
        if self._limiter:
            self._limiter.spend(chat.id, chat.is_private)


def check_length(text: str, maximum: int, reason: str) -> None:
    if utf16_length(text) > maximum:
        raise bad_request(reason)
