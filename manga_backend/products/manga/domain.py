"""Addresses of files that hold for some minutes, as Nginx's secure_link checks them."""

from __future__ import annotations

import base64
import hashlib
import re
from datetime import datetime
from urllib.parse import quote

SIGNED_PREFIX = "/manga-signed/"
"""Where deploy/nginx serves what was signed here."""
MARK = "~/"
"""Ends the signed part: a file of the folder, or of folders in it, comes after it."""
_FOLDER = re.compile(r"/(?:[^/\x00-\x1f\x7f?#%]+/)*")


def is_folder(path: str, prefix: str) -> bool:
    """Below the prefix, whole, and without a step back; `~` alone is our mark."""
    steps = path.split("/")
    return (
        path.startswith(prefix)
        and len(path) <= 300
        and bool(_FOLDER.fullmatch(path))
        and not {".", "..", "~"} & set(steps)
    )


def sign_folder(path: str, prefix: str, expires_at: datetime, secret: str) -> str:
    """The address of a folder: a file's name is put after it. Nginx's formula:
    `secure_link_md5 "$secure_link_expires$folder $secret"` (ngx_http_secure_link_module)."""
    folder = "/" + path.removeprefix(prefix)
    expires = int(expires_at.timestamp())
    digest = hashlib.md5(f"{expires}{folder} {secret}".encode()).digest()  # noqa: S324  # theirs
    signature = base64.urlsafe_b64encode(digest).decode().rstrip("=")
    return f"{SIGNED_PREFIX}{signature}/{expires}{quote(folder)}{MARK}"
