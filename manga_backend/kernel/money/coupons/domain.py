"""Coupon codes: 60 random bits, `XXXX-XXXX-XXXX`."""

from __future__ import annotations

from manga_backend.kit import codes

LENGTH = 12


def new_code() -> str:
    """Twelve characters without dashes, as stored."""
    return codes.new_code(LENGTH)


def shown(code: str) -> str:
    """`XXXX-XXXX-XXXX`."""
    return codes.grouped(code)


def normalised(typed: str) -> str | None:
    """The stored form of what someone typed; None if it can't be a code."""
    return codes.normalised(typed, LENGTH)
