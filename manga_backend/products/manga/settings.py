"""Settings of Two Manga."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from manga_backend.kit.settings import CoreSettings, Env


@dataclass(frozen=True)
class MangaSettings:
    """`max_sessions`: 1 is the document's rule, a new sign-in ends the one before it.

    `files_prefix`: below it lie the files that may be signed. `files_secret`: what Nginx signs with
    as well; empty: no address is signed."""

    max_sessions: int
    files_prefix: str
    files_secret: str = field(repr=False)


def load(env: Env, _core: CoreSettings) -> MangaSettings:
    """MAX_SESSIONS of kernel.md §9, MANGA_FILES_* of two-manga.md."""
    prefix = env.str("MANGA_FILES_PREFIX", "/manga/") or ""
    if not re.fullmatch(r"/(?:[\w.-]+/)*", prefix):
        env.complain("MANGA_FILES_PREFIX", "must be like /manga/, with a slash on either side")
    secret = env.str("MANGA_FILES_SECRET", "") or ""
    if secret and not re.fullmatch(r"[A-Za-z0-9_-]{16,}", secret):
        words = "needs at least 16 characters of A-Z, a-z, 0-9, _ and -: it stands in Nginx's file"
        env.complain("MANGA_FILES_SECRET", words)
    return MangaSettings(
        max_sessions=env.number("MAX_SESSIONS", 1, least=1, most=100),
        files_prefix=prefix,
        files_secret=secret,
    )
