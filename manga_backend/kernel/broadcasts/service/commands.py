"""What may be done to a broadcast, by the word that a button of the bot or the panel bears."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

from manga_backend.kernel.backoffice.types import Actor
from manga_backend.kernel.broadcasts.service import drafts, sending

COMMANDS: dict[str, Callable[[uuid.UUID, Actor], Any]] = {
    "test": drafts.send_test,
    "start": sending.start,
    "pause": sending.pause,
    "resume": sending.resume,
    "cancel": sending.cancel,
}
