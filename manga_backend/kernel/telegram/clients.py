"""The Bot API through pyTelegramBotAPI, with its errors sorted into ours."""

from __future__ import annotations

import json
from typing import Any

import requests
from telebot import apihelper

from manga_backend.kernel.telegram.errors import (
    MessageGone,
    MessageUnchanged,
    RecipientUnreachable,
    TelegramAway,
    TelegramBusy,
    TelegramConflict,
    TelegramError,
    TelegramRefused,
    TelegramUnauthorized,
)
from manga_backend.kernel.telegram.settings import TelegramSettings

ALLOWED_UPDATES = ["message", "callback_query"]
LONG_POLL_SECONDS = 25
"""Below the server's 50 s, so that a stop or a lost leadership is noticed in time."""
CALL_SECONDS = 10
UPDATES_AT_ONCE = 100


class BotClient:
    """Calls of one bot. Thread-safe: the library keeps a connection per thread."""

    def __init__(self, config: TelegramSettings) -> None:
        self._token = config.token
        self._url = config.api_url + "/bot{0}/{1}"

    def get_me(self) -> dict[str, Any]:
        """The bot itself."""
        result: dict[str, Any] = self._call("getMe")
        return result

    def get_updates(self, offset: int | None, long_poll_seconds: int) -> list[dict[str, Any]]:
        """Waits up to `long_poll_seconds`; confirms all updates below `offset`."""
        params: dict[str, Any] = {
            "limit": UPDATES_AT_ONCE,
            "long_polling_timeout": long_poll_seconds,
            "allowed_updates": json.dumps(ALLOWED_UPDATES),
        }
        if offset is not None:
            params["offset"] = offset
        result: list[dict[str, Any]] = self._call("getUpdates", params)
        return result

    def send_message(self, chat_id: int, text: str, buttons: dict[str, Any] | None) -> int:
        """Send HTML; returns the message id."""
        params = self._text_params(chat_id, text, buttons)
        return int(self._call("sendMessage", params)["message_id"])

    def edit_message(
        self, chat_id: int, message_id: int, text: str, buttons: dict[str, Any] | None
    ) -> None:
        """Replace text and buttons; without buttons the old ones go."""
        params = self._text_params(chat_id, text, buttons)
        self._call("editMessageText", {**params, "message_id": message_id})

    def answer_press(self, query_id: str, text: str) -> None:
        """Show a short text to whoever pressed; too late an answer is refused by Telegram."""
        self._call("answerCallbackQuery", {"callback_query_id": query_id, "text": text})

    @staticmethod
    def _text_params(chat_id: int, text: str, buttons: dict[str, Any] | None) -> dict[str, Any]:
        params: dict[str, Any] = {
            "chat_id": chat_id,
            "text": text,
            "parse_mode": "HTML",
            "link_preview_options": json.dumps({"is_disabled": True}),
        }
        if buttons:
            params["reply_markup"] = json.dumps({"inline_keyboard": buttons["rows"]})
        return params

    def _call(self, method: str, params: dict[str, Any] | None = None) -> Any:
        apihelper.API_URL = self._url
        given = {"timeout": CALL_SECONDS, **(params or {})}
        if "long_polling_timeout" in given:
            del given["timeout"]
        try:
            return apihelper._make_request(self._token, method, method="post", params=given)
        except apihelper.ApiTelegramException as error:
            raise _sorted(error) from None
        except apihelper.ApiHTTPException as error:
            status = error.result.status_code
            if status == 401 or status == 404:
                raise TelegramUnauthorized(f"HTTP {status}", code=status) from None
            raise TelegramAway(f"HTTP {status} without a Bot API answer", code=status) from None
        except apihelper.ApiInvalidJSONException:
            raise TelegramAway("the answer is not JSON") from None
        except requests.RequestException as error:
            # The text of the exception holds the address and so the token.
            raise TelegramAway(f"no connection ({type(error).__name__})") from None
        except (KeyError, TypeError, ValueError) as error:
            raise TelegramAway(f"not a Bot API answer ({type(error).__name__})") from None


def _sorted(error: Any) -> TelegramError:
    """Status first, text second: Telegram may change texts (facts.md i)."""
    code = int(error.error_code)
    words = str(error.description)
    lower = words.lower()
    if code == 429:
        answer = error.result_json.get("parameters") or {}
        return TelegramBusy(words, code=code, retry_after=int(answer.get("retry_after", 1)))
    if code == 409:
        return TelegramConflict(words, code=code)
    if code in (401, 404):
        return TelegramUnauthorized(words, code=code)
    if code == 403 or (code == 400 and ("chat not found" in lower or "peer_id_invalid" in lower)):
        return RecipientUnreachable(words, code=code)
    if code == 400:
        if "message is not modified" in lower:
            return MessageUnchanged(words, code=code)
        if "message to edit not found" in lower or "message can't be edited" in lower:
            return MessageGone(words, code=code)
        return TelegramRefused(words, code=code)
    return TelegramAway(words, code=code)
