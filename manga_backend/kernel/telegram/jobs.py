"""Housekeeping of updates, and backups in the log channel."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from manga_backend.kernel.operations.errors import BackupFailed
from manga_backend.kernel.operations.types import Backup
from manga_backend.kernel.telegram.clients import MAX_DOCUMENT_BYTES, BotClient
from manga_backend.kernel.telegram.errors import TelegramError
from manga_backend.kernel.telegram.service import updates
from manga_backend.kernel.telegram.settings import TelegramSettings
from manga_backend.kit.settings import settings

ATTEMPTS = 5
PAUSE_SECONDS = 5.0
PART_BYTES = MAX_DOCUMENT_BYTES


def purge_updates() -> None:
    """Forget handled updates after a week."""
    updates.purge_updates()


def send_backup(backup: Backup, manifest: str, told: bytes) -> None:
    """To the log channel, in parts that the Bot API takes: `cat` puts them together again."""
    config = settings(TelegramSettings)
    channel = config.log_channel_id
    if not config.token or channel is None:
        raise BackupFailed("TELEGRAM_LOG_CHANNEL_ID is not set: there is nowhere to send it")
    client = BotClient(config)
    count = -(-backup.size // PART_BYTES)
    for number, part in enumerate(_parts(backup.file), start=1):
        name = backup.file.name if count == 1 else f"{backup.file.name}.{number:03}"
        words = f"{backup.file.name}\n{number} / {count}\nsha256 {backup.sha256}"
        _insist(client, channel, name, part, words)
    _insist(client, channel, manifest, told, backup.file.name)


def _parts(file: Path) -> Iterator[bytes]:
    with file.open("rb") as opened:
        while part := opened.read(PART_BYTES):
            yield part


def _insist(client: BotClient, chat_id: int, name: str, content: bytes, words: str) -> None:
    """A few times, with the pauses that Telegram asks for."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            client.send_document(chat_id, name, content, words)
        except TelegramError as error:
            if attempt == ATTEMPTS:
                raise BackupFailed(f"Telegram does not take {name}: {error.description}") from None
            time.sleep(error.retry_after or PAUSE_SECONDS * attempt)
        else:
            return
