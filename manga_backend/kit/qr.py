"""QR codes, for addresses that a phone reads from a screen."""

from __future__ import annotations

from manga_backend.kit.later import Later

segno = Later("segno")


def qr_of(text: str) -> str:
    """An SVG in a data: address."""
    return str(segno.make(text, micro=False).svg_data_uri(scale=4))
