"""A stand-in for Telegram's Bot API: a strict server on loopback, with state and a chat page."""

from .limits import Limits
from .model import Call, Message
from .standin import BotApiStandIn
from .updates import UpdateRecord

__all__ = ["BotApiStandIn", "Call", "Limits", "Message", "UpdateRecord"]
