"""Settings of Two Manga."""

from __future__ import annotations

from dataclasses import dataclass

from manga_backend.kit.settings import CoreSettings, Env


@dataclass(frozen=True)
class MangaSettings:
    """`max_sessions`: 1 is the document's rule, a new sign-in ends the one before it."""

    max_sessions: int


def load(env: Env, _core: CoreSettings) -> MangaSettings:
    """MAX_SESSIONS of kernel.md §9."""
    return MangaSettings(max_sessions=env.number("MAX_SESSIONS", 1, least=1, most=100))
