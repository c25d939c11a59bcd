"""What the bot answers to a command."""

from __future__ import annotations

from tests.standins.telegram import Message
from tests.support import Api


def say(api: Api, chat: int, text: str, language: str = "en") -> list[Message]:
    """Send a command from a private chat; returns the bot's new messages there, oldest first."""
    api.bot.add_person(chat, language_code=language)
    api.deliver()
    before = {message.message_id for message in api.bot.messages(chat)}
    api.bot.send_text(chat, text)
    api.poll()
    api.deliver()
    return [
        message
        for message in api.bot.messages(chat)
        if message.message_id not in before and message.sender_id != chat
    ]


def answer(api: Api, chat: int, text: str, language: str = "en") -> str:
    """The same for a command with one answer; its text."""
    (message,) = say(api, chat, text, language)
    return message.text
