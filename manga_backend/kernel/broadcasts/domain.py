"""What Telegram takes as HTML, which text a reader gets, and how far a broadcast is."""

from __future__ import annotations

import re
from typing import Any

from manga_backend.kernel.broadcasts.types import Counts
from manga_backend.kit.i18n import N_
from manga_backend.kit.settings import LANGUAGES

MAX_UNITS = 4096
"""UTF-16 units of one message after parsing (core.telegram.org/bots/api#sendmessage)."""
MAX_SOURCE_BYTES = 32 * 1024
TAGS = frozenset(
    ("b", "strong", "i", "em", "u", "ins", "s", "strike", "del", "a", "code", "pre", "blockquote")
) | {"tg-spoiler"}

_TAG = re.compile(
    r"<(?P<end>/?)(?P<name>[a-z-]+)(?P<href>\s+href\s*=\s*(?:\"([^\"<>]*)\"|'([^'<>]*)'))?\s*>",
    re.IGNORECASE,
)
_LINK = re.compile(r"(https?://|tg://|mailto:|tel:)\S+", re.IGNORECASE)
_CHARACTER = re.compile(r"&(?:#(\d{1,7})|#[xX]([0-9a-fA-F]{1,6})|(lt|gt|amp|quot));?")
_NAMED = {"lt": "<", "gt": ">", "amp": "&", "quot": '"'}
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
SHOWN_CHARACTERS = 24


class MarkupFault(ValueError):
    """What is wrong with a text: an English message id and what stands in its places."""

    def __init__(self, words: str, **places: Any) -> None:
        super().__init__(words)
        self.words = words
        self.places = places


def utf16_units(text: str) -> int:
    """The length that Telegram counts."""
    return len(text.encode("utf-16-le")) // 2


def check_html(source: str) -> None:
    """MarkupFault unless Telegram will show this text as it is meant.

    Stricter than Telegram (core.telegram.org/bots/api#html-style): it drops links that lead
    nowhere and takes attributes that do nothing.
    """
    if _UNSTORABLE.search(source):
        raise MarkupFault(N_("The text contains a character that can't be stored."))
    if len(source.encode()) > MAX_SOURCE_BYTES:
        raise MarkupFault(N_("The text with its markup is too long."))
    plain = _without_tags(source)
    if not any(character.isprintable() and not character.isspace() for character in plain):
        raise MarkupFault(N_("The text is empty."))
    length = utf16_units(plain)
    if length > MAX_UNITS:
        words = N_("The text is %(length)s characters long; Telegram takes %(most)s.")
        raise MarkupFault(words, length=length, most=MAX_UNITS)


def _without_tags(source: str) -> str:
    """The text as Telegram shows it; MarkupFault at the first tag that is wrong."""
    plain: list[str] = []
    unclosed: list[str] = []
    position = 0
    while (start := source.find("<", position)) >= 0:
        plain.append(source[position:start])
        tag = _TAG.match(source, start)
        if tag is None or tag["name"].lower() not in TAGS:
            words = N_("“%(place)s” is no tag that Telegram shows. Write &lt; for the sign <.")
            raise MarkupFault(words, place=source[start : start + SHOWN_CHARACTERS])
        name = tag["name"].lower()
        if tag["end"]:
            if tag["href"] or not unclosed or unclosed.pop() != name:
                words = N_("</%(tag)s> closes a tag that is not the last one opened.")
                raise MarkupFault(words, tag=name)
        else:
            _check_link(name, tag)
            unclosed.append(name)
        position = tag.end()
    if unclosed:
        raise MarkupFault(N_("<%(tag)s> is never closed."), tag=unclosed[-1])
    plain.append(source[position:])
    return _CHARACTER.sub(_decoded, "".join(plain)).strip()


def _check_link(name: str, tag: re.Match[str]) -> None:
    if name != "a" and tag["href"]:
        raise MarkupFault(N_("Only <a> takes an address (href)."))
    target = _CHARACTER.sub(_decoded, tag[4] or tag[5] or "")
    if name == "a" and not _LINK.fullmatch(target):
        words = N_("A link needs href with an address such as https://example.com.")
        raise MarkupFault(words)


def _decoded(found: re.Match[str]) -> str:
    decimal, hexadecimal, name = found.groups()
    if name:
        return _NAMED[name]
    code = int(decimal) if decimal else int(hexadecimal, 16)
    fits = 0 < code < 0x110000 and not 0xD800 <= code < 0xE000
    return chr(code) if fits else found.group()


def text_for(texts: dict[str, str], language: str | None, default_language: str) -> str:
    """In the reader's language, else the deployment's, else English, else the first there is."""
    for choice in (language or default_language, default_language, "en", *LANGUAGES):
        if choice in texts:
            return texts[choice]
    raise ValueError("a broadcast without a text")


def texts_by_language(texts: dict[str, str], default_language: str) -> dict[str, str]:
    """What the readers of each language get."""
    return {code: text_for(texts, code, default_language) for code in LANGUAGES}


def percent_done(counts: Counts, *, finished: bool) -> int:
    """How much of the audience is through, 0 to 100; 100 means finished and nothing less."""
    if finished:
        return 100
    through = counts.audience - counts.left - counts.waiting - counts.cancelled
    return max(0, min(99, 100 * through // max(counts.audience, 1)))
