"""Parameters of a request, however they were sent: query string, form, JSON or multipart."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, unquote_to_bytes

from .model import Json, bad_request

NAME = re.compile(r';\s*name="?([^";\r\n]*)"?')
# telebot writes file names bare, without quotes
FILE_NAME = re.compile(r';\s*filename="?([^";\r\n]*)"?')
INTEGER = re.compile(r"[+-]?\d{1,18}")
ENCODED_FILE_NAME = re.compile(r";\s*filename\*=utf-8''([^;\r\n]*)", re.IGNORECASE)


@dataclass(frozen=True)
class UploadedFile:
    name: str
    content: bytes
    mime_type: str = "application/octet-stream"


class Params:
    """What a request carries; like the real server it takes every scalar as text."""

    def __init__(self, values: Json, files: dict[str, UploadedFile] | None = None) -> None:
        self.values = values
        self.files = files or {}

    def text(self, name: str) -> str:
        value = self.values.get(name, "")
        if isinstance(value, bool):
            return "true" if value else "false"
        return "" if value is None else value if isinstance(value, str) else json.dumps(value)

    def integer(self, name: str, default: int = 0) -> int:
        """A number that can't be read is 0, as on the real server."""
        value = self.text(name).strip()
        if not value:
            return default
        return int(value) if INTEGER.fullmatch(value) else 0

    def boolean(self, name: str) -> bool:
        return self.text(name).strip().lower() in ("true", "yes", "1")

    def parsed(self, name: str, what: str) -> Any:
        """A JSON-serialized parameter; None when it is not there."""
        value = self.values.get(name)
        if not isinstance(value, str):
            return value
        if not value.strip():
            return None
        try:
            return json.loads(value)
        except ValueError:
            raise bad_request(f"can't parse {what} JSON object") from None

    def to_log(self) -> Json:
        """For the list of calls: a file is told by its name and size."""
        shown = {name: f"{file.name} ({len(file.content)} B)" for name, file in self.files.items()}
        return {**self.values, **shown}


def read_params(query: str, content_type: str, body: bytes) -> Params:
    values: Json = read_form(query)
    files: dict[str, UploadedFile] = {}
    kind = content_type.split(";")[0].strip().lower()
    if not body:
        pass
    elif kind == "application/json":
        values |= read_json_object(body)
    elif kind == "application/x-www-form-urlencoded":
        values |= read_form(body.decode(errors="replace"))
    elif kind == "multipart/form-data":
        fields, files = read_multipart(content_type, body)
        values |= fields
    return Params(values, files)


def read_form(source: str) -> dict[str, str]:
    """As parse_qsl() of the standard library, at a third of its cost for non-Latin texts."""
    fields = {}
    for part in source.split("&"):
        if part:
            name, _, value = part.partition("=")
            fields[decoded(name)] = decoded(value)
    return fields


def decoded(text: str) -> str:
    text = text.replace("+", " ")
    if "%" not in text:
        return text
    try:  # a codec in C knows the form \xD8, and leaves all else alone once backslashes are gone
        escaped = text.replace("\\", "%5C").replace("%", "\\x").encode()
        content = escaped.decode("unicode_escape").encode("latin-1")
    except UnicodeError:  # a percent sign that stands for itself
        content = unquote_to_bytes(text)
    return content.decode(errors="replace")


def read_json_object(body: bytes) -> Json:
    try:
        value = json.loads(body)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise bad_request("can't parse request body as JSON object")
    return value


def read_multipart(content_type: str, body: bytes) -> tuple[Json, dict[str, UploadedFile]]:
    found = re.search(r'boundary="?([^";]+)"?', content_type)
    if not found:
        raise bad_request("boundary is not specified")
    values: Json = {}
    files: dict[str, UploadedFile] = {}
    delimiter = b"\r\n--" + found.group(1).encode()
    for part in (b"\r\n" + body).split(delimiter)[1:-1]:
        head, _, content = part.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        headers = head.decode(errors="replace")
        name = NAME.search(headers)
        if not name:
            raise bad_request("a part of the form has no name")
        encoded, plain = ENCODED_FILE_NAME.search(headers), FILE_NAME.search(headers)
        if encoded or plain:
            file_name = unquote(encoded.group(1)) if encoded else plain.group(1) if plain else ""
            mime = re.search(r"content-type:\s*([^\s;]+)", headers, re.IGNORECASE)
            mime_type = mime.group(1) if mime else UploadedFile.mime_type
            files[name.group(1)] = UploadedFile(file_name, content, mime_type)
        else:
            values[name.group(1)] = content.decode(errors="replace")
    return values, files
