"""Reads the fields of a request, and refuses as Laravel does behind Cryptomus.

Documented: `validation.required` and `validation.required_without`, HTTP 422. The names of the
other rules are guessed by Laravel's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

ALPHA_DASH = re.compile(r"[A-Za-z0-9_-]+")
AMOUNT = re.compile(r"\d{1,15}(\.\d{1,18})?")
BOOLEANS = {True: True, False: False, "1": True, "0": False}  # 1 and 0 are equal to the former


class Refused(Exception):
    """An answer other than a result."""

    def __init__(self, status: int, payload: Mapping[str, Any]) -> None:
        super().__init__(status, payload)
        self.status = status
        self.payload = payload


def refused(message: str) -> Refused:
    """A refusal with `message` instead of `errors`; 422 by the documents' headings."""
    return Refused(422, {"state": 1, "message": message})


class Form:
    """Collects what is wrong; `check()` raises Refused for all of it."""

    def __init__(self, body: Mapping[str, Any]) -> None:
        self._body = body
        self._errors: dict[str, list[str]] = {}

    def check(self) -> None:
        if self._errors:
            raise Refused(422, {"state": 1, "errors": self._errors})

    def refuse(self, name: str, rule: str) -> None:
        self._errors.setdefault(name, []).append(f"validation.{rule}")

    def given(self, name: str, *, required: bool = False) -> Any:
        value = self._body.get(name)
        if required and value in (None, ""):
            self.refuse(name, "required")
        return None if value == "" else value

    def text(
        self,
        name: str,
        *,
        required: bool = False,
        longest: int = 255,
        alpha_dash: bool = False,
    ) -> str:
        """Empty when it isn't there."""
        value = self.given(name, required=required)
        if value is None:
            return ""
        if not isinstance(value, str):
            self.refuse(name, "string")
            return ""
        if len(value) > longest:
            self.refuse(name, "max.string")
        if alpha_dash and not ALPHA_DASH.fullmatch(value):
            self.refuse(name, "alpha_dash")
        return value

    def url(self, name: str, *, required: bool = False, longest: int = 255) -> str | None:
        value = self.text(name, required=required, longest=longest)
        if value and not value.startswith(("http://", "https://")):
            self.refuse(name, "url")
        return value or None

    def amount(self, name: str) -> Decimal:
        value = self.text(name, required=True)
        if not value:
            return Decimal(0)
        if not AMOUNT.fullmatch(value):
            self.refuse(name, "numeric")
            return Decimal(0)
        if not Decimal(value):
            self.refuse(name, "min.numeric")
        return Decimal(value)

    def integer(self, name: str, low: int, high: int, default: int) -> int:
        value = self.given(name)
        if value is None:
            return default
        if isinstance(value, bool) or not str(value).isdecimal():
            self.refuse(name, "integer")
            return default
        if not low <= int(value) <= high:
            self.refuse(name, "min.numeric" if int(value) < low else "max.numeric")
        return int(value)

    def boolean(self, name: str) -> bool:
        value = self.given(name, required=True)
        if value is not None and (isinstance(value, list | dict) or value not in BOOLEANS):
            self.refuse(name, "boolean")
            return False
        return BOOLEANS.get(value, False)

    def key(self) -> str:
        """A uuid or an order_id; of both the order_id counts, as the documents say."""
        found = self.text("order_id", longest=128) or self.text("uuid", longest=36)
        if not found and not self._errors:
            self.refuse("uuid", "required_without")
            self.refuse("order_id", "required_without")
        self.check()
        return found
