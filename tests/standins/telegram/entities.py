"""Telegram's HTML parse mode: text and entities out, or the server's words for what is wrong."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from .model import ApiError, Json, bad_request

KINDS = {
    "a": "text_link",
    "b": "bold",
    "strong": "bold",
    "i": "italic",
    "em": "italic",
    "u": "underline",
    "ins": "underline",
    "s": "strikethrough",
    "strike": "strikethrough",
    "del": "strikethrough",
    "span": "spoiler",
    "tg-spoiler": "spoiler",
    "tg-emoji": "custom_emoji",
    "code": "code",
    "pre": "pre",
    "blockquote": "blockquote",
}
NAMED_CHARACTERS = {"lt": "<", "gt": ">", "amp": "&", "quot": '"'}
CHARACTER = re.compile(r"&(?:#(\d+)|#[xX]([0-9a-fA-F]+)|([a-z]+));?")
TAG_NAME = re.compile(r"[^\s>]*")
PLAIN = re.compile(r"[^<&]+")
ATTRIBUTE = re.compile(r"""\s*([^\s=>]+)\s*(?:=\s*(?:"([^"]*)"|'([^']*)'|([\w.-]+)))?\s*""")
DETECTED = {
    "bot_command": re.compile(r"(?<![\w/<>])/[A-Za-z0-9_]{1,32}(?:@\w{3,32})?(?![\w/])"),
    "url": re.compile(r"https?://[^\s<>\"']+[^\s<>\"'.,:;!?)]"),
    "mention": re.compile(r"(?<!\w)@[A-Za-z]\w{3,31}"),
}
SIGNS = {"bot_command": "/", "url": "://", "mention": "@"}  # without it there is no match


def utf16_length(text: str) -> int:
    """The length that Telegram counts: UTF-16 units."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


@dataclass
class OpenTag:
    name: str
    argument: str
    text_start: int


class HtmlParser:
    """Follows parse_html of TDLib (MessageEntity.cpp), messages included."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.position = 0
        self.text = ""
        self.open: list[OpenTag] = []
        self.entities: list[Json] = []

    def parse(self) -> tuple[str, list[Json]]:
        while self.position < len(self.source):
            plain = PLAIN.match(self.source, self.position)
            if plain:
                self.text += plain.group()
                self.position = plain.end()
            elif self.source[self.position] == "&":
                self._read_character()
            elif self.source.startswith("</", self.position):
                self._read_end_tag()
            else:
                self._read_start_tag()
        if self.open:
            raise unparsable(
                f'Can\'t find end tag corresponding to start tag "{self.open[-1].name}"'
            )
        self.entities.sort(key=lambda entity: (entity["offset"], -entity["length"]))
        return self.text, self.entities

    def _byte_offset(self, position: int) -> int:
        return len(self.source[:position].encode())

    def _read_character(self) -> None:
        found = CHARACTER.match(self.source, self.position)
        decoded = ""
        if found:
            decimal, hexadecimal, name = found.groups()
            code = int(decimal) if decimal else int(hexadecimal, 16) if hexadecimal else 0
            if 0 < code < 0x110000 and not 0xD800 <= code < 0xE000:
                decoded = chr(code)
            elif name:
                decoded = NAMED_CHARACTERS.get(name, "")
        if found and decoded:
            self.text += decoded
            self.position = found.end()
        else:
            self.text += "&"
            self.position += 1

    def _read_start_tag(self) -> None:
        begin = self.position
        place = self._byte_offset(begin)
        name_match = TAG_NAME.match(self.source, begin + 1)
        assert name_match is not None
        name, position = name_match.group().lower(), name_match.end()
        if position == len(self.source):
            raise unparsable(f"Unclosed start tag at byte offset {place}")
        if name not in KINDS:
            raise unparsable(f'Unsupported start tag "{name}" at byte offset {place}')
        attributes: dict[str, str] = {}
        while self.source[position] != ">":
            found = ATTRIBUTE.match(self.source, position)
            if not found:
                raise unparsable(f'Empty attribute name in the tag "{name}" at byte offset {place}')
            key, *values = found.groups()
            attributes[key.lower()] = next((value for value in values if value is not None), "")
            position = found.end()
            if position == len(self.source):
                raise unparsable(f'Unclosed start tag "{name}" at byte offset {place}')
        self.position = position + 1
        self.open.append(OpenTag(name, self._argument(name, attributes, place), len(self.text)))

    def _argument(self, name: str, attributes: dict[str, str], place: int) -> str:
        if name == "a":
            return HtmlParser(attributes.get("href", "").replace("<", "&lt;")).parse()[0]
        if name == "code":
            return attributes.get("class", "").removeprefix("language-")
        if name == "span" and attributes.get("class") != "tg-spoiler":
            raise unparsable(f'Tag "span" must have class "tg-spoiler" at byte offset {place}')
        if name == "blockquote":
            return "expandable" if "expandable" in attributes else ""
        return attributes.get("emoji-id", "")

    def _read_end_tag(self) -> None:
        begin = self.position
        place = self._byte_offset(begin)
        if not self.open:
            raise unparsable(f"Unexpected end tag at byte offset {place}")
        end = self.source.find(">", begin)
        if end < 0:
            raise unparsable(f"Unclosed end tag at byte offset {place}")
        found = self.source[begin + 2 : end].strip().lower()
        tag = self.open.pop()
        if found and found != tag.name:
            raise unparsable(
                f"Unmatched end tag at byte offset {place},"
                f' expected "</{tag.name}>", found "</{found}>"'
            )
        self.position = end + 1
        self._close(tag)

    def _close(self, tag: OpenTag) -> None:
        inside = self.text[tag.text_start :]
        if not inside:
            return
        entity: Json = {
            "type": KINDS[tag.name],
            "offset": utf16_length(self.text[: tag.text_start]),
            "length": utf16_length(inside),
        }
        if tag.name == "a":
            entity["url"] = tag.argument or inside
            if not re.match(r"(https?|tg|mailto|tel):", entity["url"]):
                if "." not in entity["url"]:
                    return  # Telegram drops a link that leads nowhere, and keeps its text
                entity["url"] = "http://" + entity["url"]
        elif tag.name == "tg-emoji":
            entity["custom_emoji_id"] = tag.argument
        elif tag.name == "blockquote" and tag.argument:
            entity["type"] = "expandable_blockquote"
        elif tag.name == "code" and tag.argument and self.open and self.open[-1].name == "pre":
            self.open[-1].argument = tag.argument
            return
        elif tag.name == "pre" and tag.argument:
            entity["language"] = tag.argument
        self.entities.append(entity)


def unparsable(reason: str) -> ApiError:
    return bad_request(f"can't parse entities: {reason}")


@lru_cache(maxsize=256)
def parse_text(source: str, parse_mode: str) -> tuple[str, list[Json]]:
    """Plain text and all its entities, those that Telegram finds by itself included.

    The messages of a broadcast share one answer: it is never changed.
    """
    mode = parse_mode.lower()
    entities: list[Json] = []
    if mode in ("", "none"):
        text = source
    elif mode == "html":
        is_plain = "<" not in source and "&" not in source
        text, entities = (source, []) if is_plain else HtmlParser(source).parse()
    elif mode in ("markdown", "markdownv2"):
        raise unparsable("this stand-in speaks HTML only")
    else:
        raise bad_request("unsupported parse_mode")
    text, entities = trimmed(text, entities)
    return text, with_detected(text, entities)


def trimmed(text: str, entities: list[Json]) -> tuple[str, list[Json]]:
    """Takes white space off both ends, as Telegram does before it stores a text."""
    if not entities:
        return text.strip(), []
    shift = utf16_length(text) - utf16_length(text.lstrip())
    text = text.strip()
    length = utf16_length(text)
    kept = []
    for entity in entities:
        begin = max(entity["offset"] - shift, 0)
        end = min(entity["offset"] + entity["length"] - shift, length)
        if end > begin:
            kept.append({**entity, "offset": begin, "length": end - begin})
    return text, kept


def with_detected(text: str, entities: list[Json]) -> list[Json]:
    """Adds the commands, addresses and mentions that stand in the open text."""
    taken = [
        (entity["offset"], entity["offset"] + entity["length"])
        for entity in entities
        if entity["type"] in ("code", "pre", "text_link")
    ]
    found = list(entities)
    for kind, pattern in DETECTED.items():
        if SIGNS[kind] not in text:
            continue
        for match in pattern.finditer(text):
            begin = utf16_length(text[: match.start()])
            end = begin + utf16_length(match.group())
            if all(end <= left or right <= begin for left, right in taken):
                taken.append((begin, end))
                found.append({"type": kind, "offset": begin, "length": end - begin})
    return sorted(found, key=lambda entity: (entity["offset"], -entity["length"]))
