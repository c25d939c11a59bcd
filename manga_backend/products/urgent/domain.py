"""Pure rules: what an order's state is at a moment, and how texts are compared."""

from __future__ import annotations

import re
import secrets
import string
import unicodedata
from datetime import datetime, timedelta
from typing import Protocol

from manga_backend.products.urgent.types import (
    ANSWER_WITHIN,
    COMPLETABLE_FOR,
    ID_CHARACTERS,
    OrderStatus,
)

_ALPHABET = string.ascii_letters + string.digits
_INVISIBLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff]"
)
_BLANKS = "".join(c for c in map(chr, range(0x10000)) if c.isspace()) + (
    "\u200c\u200d\u2800\u3164\u115f\u1160"
)
_SPACE = re.compile(r"\s+")
_PHONE = re.compile(r"\(?\+?\(?\d[\d\s().-]*\d", re.ASCII)
_PUNCTUATION = re.compile(r"[\s().-]+")
_NUMBER = re.compile(r"\+?\d{7,15}", re.ASCII)
_DASHES = str.maketrans(dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2212", "-"))
_PAGE = re.compile(
    r"(?:https?://)?(?:www\.)?(?:t|telegram)\.me/([a-z]\w{3,31})/?", re.ASCII | re.IGNORECASE
)
_NAME = re.compile(r"@[A-Za-z]\w{3,31}", re.ASCII)
_WORD = re.compile(r"\w+")
MAX_WORDS, SHORT_WORD = 10, 4


class Timed(Protocol):
    """An order, as far as its clock goes."""

    @property
    def status(self) -> OrderStatus: ...
    @property
    def expires_at(self) -> datetime: ...
    @property
    def first_taken_at(self) -> datetime | None: ...
    @property
    def answered_at(self) -> datetime | None: ...


def new_order_id() -> str:
    """12 of A–Z a–z 0–9: 71 random bits."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(ID_CHARACTERS))


def status_at(order: Timed, now: datetime) -> OrderStatus:
    """What the server's clock makes of an order, whether or not it has been closed yet.

    Not taken: expired at its hour. Taken and the client silent: closed 15 minutes after the first
    take, even past the hour. Taken and answered: expired at its hour.
    """
    if order.status is not OrderStatus.ACTIVE:
        return order.status
    if order.first_taken_at is not None and order.answered_at is None:
        silent = now >= order.first_taken_at + ANSWER_WITHIN
        return OrderStatus.CLOSED_NO_RESPONSE if silent else OrderStatus.ACTIVE
    return OrderStatus.EXPIRED if now >= order.expires_at else OrderStatus.ACTIVE


def is_open(order: Timed, now: datetime) -> bool:
    """Whether executors may still take it."""
    return now < order.expires_at and status_at(order, now) is OrderStatus.ACTIVE


def is_completable(order: Timed, now: datetime) -> bool:
    """Taken and in its time; or answered, and its hour over for less than a day."""
    status = status_at(order, now)
    if status is OrderStatus.ACTIVE:
        return order.first_taken_at is not None
    in_time = now < order.expires_at + COMPLETABLE_FOR
    return status is OrderStatus.EXPIRED and order.answered_at is not None and in_time


def minutes_left(expires_at: datetime, now: datetime) -> int:
    """max(0, whole minutes), as the document counts them."""
    return max(0, (expires_at - now) // timedelta(minutes=1))


def visible(text: str) -> str:
    """Composed (NFC), without characters that nobody sees or that turn the text around; those that
    Persian words need inside stay."""
    return _INVISIBLE.sub("", unicodedata.normalize("NFC", text)).strip(_BLANKS)


def tidy(text: str) -> str:
    """The same in one line."""
    return visible(_SPACE.sub(" ", text))


def key_of(name: str) -> str:
    """What categories and cities are compared by."""
    return unicodedata.normalize("NFKC", tidy(name)).casefold()


def as_contact(text: str) -> str:
    """`https://t.me/name` is `@name`, and a dash is a dash."""
    page = _PAGE.fullmatch(text)
    return f"@{page[1]}" if page else text.translate(_DASHES)


def is_contact(text: str) -> bool:
    """A phone number with 7 to 15 digits (E.164), or a Telegram @name."""
    if _NAME.fullmatch(text):
        return True
    digits = _PUNCTUATION.sub("", text)
    return _PHONE.fullmatch(text) is not None and _NUMBER.fullmatch(digits) is not None


def stems_of(search: str) -> list[str]:
    """How the words that are looked for begin, without anything that an index takes for an
    operator. Of longer words the last letter or two are left out, since endings change."""
    found = _WORD.findall(search.casefold().replace("ё", "е"))[:MAX_WORDS]
    words = [word for word in found if len(word) > 2] or found
    return [word[: len(word) - min(2, max(0, len(word) - SHORT_WORD))] for word in words]


def average(total: int, count: int) -> float | None:
    """Of ratings, to two decimals; None while there are none."""
    return round(total / count, 2) if count else None
