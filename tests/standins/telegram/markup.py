"""Reply markup as a bot sends it: checked like Telegram does, and brought to one shape."""

from __future__ import annotations

from urllib.parse import urlsplit

from .model import Json, bad_request
from .params import Params

OTHER_KEYBOARDS = ("keyboard", "remove_keyboard", "force_reply")
ACTIONS = (
    "url",
    "callback_data",
    "web_app",
    "login_url",
    "switch_inline_query",
    "switch_inline_query_current_chat",
    "switch_inline_query_chosen_chat",
    "copy_text",
    "callback_game",
    "pay",
)


def read_markup(params: Params) -> Json | None:
    """The inline keyboard of a request; None when there is none, or a keyboard of another kind.

    Telegram's answers never show those other kinds, so they are not kept.
    """
    markup = params.parsed("reply_markup", "reply keyboard markup")
    if markup is None or markup == "":
        return None
    if not isinstance(markup, dict):
        raise bad_request("object expected as reply markup")
    if any(kind in markup for kind in OTHER_KEYBOARDS):
        return None
    rows = markup.get("inline_keyboard", [])
    if not isinstance(rows, list):
        raise bad_request('field "inline_keyboard" must be of type Array')
    keyboard = []
    for row in rows:
        if not isinstance(row, list):
            raise bad_request(
                'field "inline_keyboard" of the InlineKeyboardMarkup must be an Array of Arrays'
            )
        if row:
            keyboard.append([read_button(button) for button in row])
    return {"inline_keyboard": keyboard} if keyboard else None


def read_button(button: object) -> Json:
    if not isinstance(button, dict):
        raise bad_request("can't parse inline keyboard button: expected an object")
    text = button.get("text")
    if not isinstance(text, str) or not text.strip():
        raise bad_request(
            "can't parse inline keyboard button: can't find field \"text\""
            if text is None
            else "BUTTON_TEXT_INVALID"
        )
    actions = [action for action in ACTIONS if button.get(action) is not None]
    if not actions:
        raise bad_request(
            "can't parse inline keyboard button: Text buttons are unallowed in the inline keyboard"
        )
    action, value = actions[0], button[actions[0]]
    if action == "callback_data" and not 1 <= len(str(value).encode()) <= 64:
        raise bad_request("BUTTON_DATA_INVALID")
    if action == "url":
        check_url(str(value), "URL", ("http", "https", "tg"))
    if action == "web_app":
        url = value.get("url", "") if isinstance(value, dict) else ""
        check_url(str(url), "Web App URL", ("https",))
    return {"text": text, action: value}


def check_url(url: str, what: str, schemes: tuple[str, ...]) -> None:
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
    except ValueError:
        raise bad_request(f"inline keyboard button {what} '{url}' is invalid") from None
    if parts.scheme not in schemes:
        fault = "Only HTTPS links are allowed" if schemes == ("https",) else "Unsupported protocol"
        raise bad_request(f"inline keyboard button {what} '{url}' is invalid: {fault}")
    # The real server refuses a host without a dot: "http://localhost:8000" can't be a button.
    if parts.scheme != "tg" and "." not in (parts.hostname or ""):
        raise bad_request(f"inline keyboard button {what} '{url}' is invalid: Wrong HTTP URL")
