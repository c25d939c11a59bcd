"""The Bot API through pyTelegramBotAPI, with its errors sorted into ours."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from functools import cache
from http import HTTPStatus
from importlib import import_module
from typing import Any

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
from manga_backend.kernel.telegram.types import Menu, Reachability
from manga_backend.kit.calls import Answer, Caller, CallFailed
from manga_backend.kit.later import Later
from manga_backend.kit.metrics import observe_call

ALLOWED_UPDATES = ["message", "callback_query", "my_chat_member", "pre_checkout_query"]
LONG_POLL_SECONDS = 25
"""Below the server's 50 s, so that a stop or a lost leadership is noticed in time."""
CALL_SECONDS = 10
CONNECT_SECONDS = 3
CONNECT_THROUGH_PROXY_SECONDS = 8
"""The proxy's answers are in it, and those proxies are far away and slow."""
LONGEST_CALL_SECONDS = CALL_SECONDS + 1
UPDATES_AT_ONCE = 100
UPLOAD_SECONDS = 300
MAX_DOCUMENT_BYTES = 45 * 1024 * 1024
"""The Bot API takes 50 MB (facts.md i); the form around it needs a little."""
MAX_TITLE, MAX_DESCRIPTION = 32, 255
ALREADY_REFUNDED = "CHARGE_ALREADY_REFUNDED"

_JSON = {"Content-Type": "application/json"}

apihelper = Later("telebot.apihelper")
urllib3 = Later("urllib3")

_calling = threading.local()
"""The client that calls in this thread: the library has one address and one proxy for all."""


@cache
def _caller(proxy: str, authorities: str) -> Caller:
    """Connections for all threads and clients of this process."""
    return Caller(proxy, authorities=authorities)


@dataclass(frozen=True, slots=True)
class _Upload:
    """A form in place of JSON: files travel in no other way."""

    body: bytes
    content_type: str


class _Answer:
    """What the library reads of an answer."""

    def __init__(self, found: Answer) -> None:
        self.status_code = found.status
        self.reason = ""
        self.text = found.body.decode(errors="replace")

    def json(self) -> Any:
        return json.loads(self.text)


def _send(
    method: str, path: str, *, params: Any, timeout: tuple[float, float], **_: Any
) -> _Answer:
    """The library's hook for the request itself. Its own way costs several times the processor
    time, and puts the text of a message into the address, which servers limit.
    """
    client: BotClient = _calling.client
    upload: _Upload | None = getattr(_calling, "upload", None)
    began, outcome = time.perf_counter(), "unreachable"
    try:
        found = _caller(client.proxy, client.authorities).send(
            method.upper(),
            client.address + path,
            body=upload.body if upload else json.dumps(params or {}).encode(),
            headers={"Content-Type": upload.content_type} if upload else _JSON,
            connect_seconds=CONNECT_THROUGH_PROXY_SECONDS if client.proxy else CONNECT_SECONDS,
            total_seconds=timeout[1],
        )
        outcome = "ok" if found.status == HTTPStatus.OK else str(found.status)
    finally:
        observe_call(path.rpartition("/")[2], outcome, time.perf_counter() - began)
    return _Answer(found)


@cache
def _library() -> Any:
    """pyTelegramBotAPI, which is told once where its calls go."""
    library: Any = import_module("telebot.apihelper")
    library.API_URL = "/bot{0}/{1}"
    library.CUSTOM_REQUEST_SENDER = _send
    return library


class BotClient:
    """Calls of one bot. Thread-safe; clients with one proxy share their connections."""

    def __init__(self, config: TelegramSettings) -> None:
        self._token = config.token
        self.address = config.api_url
        self.proxy = config.proxy
        self.authorities = config.authorities
        self._library = _library()  # now: no call that was given its turn may wait for an import

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
        message = self._call("sendMessage", params)
        try:
            return int(message["message_id"])
        except (KeyError, TypeError, ValueError) as error:
            raise TelegramAway(f"not a Bot API answer ({type(error).__name__})") from None

    def edit_message(
        self, chat_id: int, message_id: int, text: str, buttons: dict[str, Any] | None
    ) -> None:
        """Replace text and buttons; without buttons the old ones go."""
        params = self._text_params(chat_id, text, buttons)
        self._call("editMessageText", {**params, "message_id": message_id})

    def send_document(self, chat_id: int, name: str, content: bytes, caption: str) -> None:
        """A file of at most MAX_DOCUMENT_BYTES."""
        fields: dict[str, Any] = {
            "chat_id": str(chat_id),
            "caption": caption,
            "document": (name, content, "application/octet-stream"),
        }
        body, content_type = urllib3.encode_multipart_formdata(fields)
        _calling.upload = _Upload(body, content_type)
        try:
            self._call("sendDocument", {"timeout": UPLOAD_SECONDS})
        finally:
            del _calling.upload

    def answer(self, method: str, params: dict[str, Any]) -> None:
        """Answer a question of an update; too late an answer is refused by Telegram."""
        self._call(method, params)

    def create_stars_link(self, title: str, description: str, payload: str, stars: int) -> str:
        """The address at which one may pay so many Stars; `payload` (1–128 bytes) comes back."""
        params = {
            "title": title[:MAX_TITLE],
            "description": description[:MAX_DESCRIPTION],
            "payload": payload,
            "currency": "XTR",
            "prices": json.dumps([{"label": title[:MAX_TITLE], "amount": stars}]),
        }
        return str(self._call("createInvoiceLink", params))

    def refund_stars(self, user_id: int, charge_id: str) -> None:
        """Give a payer's Stars back, all of them. May be asked twice: what Telegram has given back
        already is done."""
        params = {"user_id": user_id, "telegram_payment_charge_id": charge_id}
        try:
            self._call("refundStarPayment", params)
        except TelegramRefused as refusal:
            if ALREADY_REFUNDED not in refusal.description.upper():
                raise

    def get_webhook(self) -> dict[str, Any]:
        """The Bot API's WebhookInfo; `url` is empty when none is set."""
        result: dict[str, Any] = self._call("getWebhookInfo")
        return result

    def set_webhook(self, url: str, secret: str, connections: int) -> None:
        """Let Telegram bring updates; what waits for getUpdates is brought as well."""
        self._call(
            "setWebhook",
            {
                "url": url,
                "secret_token": secret,
                "max_connections": connections,
                "allowed_updates": json.dumps(ALLOWED_UPDATES),
            },
        )

    def delete_webhook(self) -> None:
        """Give updates to getUpdates again, with those that wait."""
        self._call("deleteWebhook")

    def set_commands(self, menu: Menu) -> None:
        """The commands that clients offer in the menu's scope."""
        params = {"scope": json.dumps(menu.scope), "commands": json.dumps(menu.commands)}
        if menu.language_code:
            params["language_code"] = menu.language_code
        self._call("setMyCommands", params)

    def get_chat(self, chat_id: int) -> dict[str, Any]:
        """RecipientUnreachable for a chat that the bot can't see."""
        result: dict[str, Any] = self._call("getChat", {"chat_id": chat_id})
        return result

    def get_member(self, chat_id: int, user_id: int) -> dict[str, Any]:
        """The Bot API's ChatMember."""
        result: dict[str, Any] = self._call(
            "getChatMember", {"chat_id": chat_id, "user_id": user_id}
        )
        return result

    def read_clock(self) -> datetime | None:
        """What time the server says that it is; None when it does not say or can't be reached."""
        try:
            answer = _caller(self.proxy, self.authorities).send("GET", self.address)
            return parsedate_to_datetime(answer.headers.get("date", ""))
        except (CallFailed, ValueError):
            return None

    def is_polled_elsewhere(self, seconds: int) -> bool:
        """Whether somebody else reads this bot's updates; takes `seconds`, confirms nothing."""
        try:
            # Without an offset nothing is confirmed, and one update more than others keep is none.
            self._call("getUpdates", {"limit": 1, "long_polling_timeout": seconds})
        except TelegramConflict:
            return True
        return False

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
        _calling.client = self
        given = {"timeout": CALL_SECONDS, **(params or {})}
        if "long_polling_timeout" in given:
            del given["timeout"]
        try:
            return self._library._make_request(self._token, method, method="post", params=given)
        except apihelper.ApiTelegramException as error:
            try:
                found = _sorted(error)
            except (AttributeError, TypeError, ValueError) as strange:
                found = TelegramAway(f"not a Bot API answer ({type(strange).__name__})")
            raise found from None
        except apihelper.ApiHTTPException as error:
            status = error.result.status_code
            if status == 407:
                raise TelegramAway("the proxy refuses the login (407)", code=status) from None
            raise TelegramAway(f"HTTP {status} without a Bot API answer", code=status) from None
        except apihelper.ApiInvalidJSONException:
            raise TelegramAway("the answer is not JSON") from None
        except CallFailed as failure:
            raise TelegramAway(f"no connection ({failure.words})") from None
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
        return RecipientUnreachable(words, _reachability(code, lower), code=code)
    if code == 400:
        if "message is not modified" in lower:
            return MessageUnchanged(words, code=code)
        if "message to edit not found" in lower or "message can't be edited" in lower:
            return MessageGone(words, code=code)
        if new_id := (error.result_json.get("parameters") or {}).get("migrate_to_chat_id"):
            words = f"{words}; the group has another id now: {new_id}"
        return TelegramRefused(words, code=code)
    return TelegramAway(words, code=code)


def _reachability(code: int, lower: str) -> Reachability:
    if code == 400 or "can't initiate" in lower:
        return Reachability.NEEDS_START
    if "deactivated" in lower:
        return Reachability.DEACTIVATED
    return Reachability.BLOCKED  # by the person, or kicked from a group or channel
