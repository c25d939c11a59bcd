"""May this reader read? And addresses for what can send no header."""

from __future__ import annotations

from datetime import datetime, timedelta

from manga_backend.kernel.memberships.errors import SubscriptionRequired
from manga_backend.kit.problems import InvalidInput
from manga_backend.kit.settings import settings
from manga_backend.products.manga.domain import is_folder, sign_folder
from manga_backend.products.manga.errors import FilesNotSigned, SubscriptionRequiredAtGate
from manga_backend.products.manga.settings import MangaSettings

SIGNED_FOR = timedelta(minutes=10)


def require_subscription(expires_at: datetime | None, now: datetime, *, at_gate: bool) -> None:
    """SubscriptionRequired (402, or 403 at Nginx's gate) unless it is active now."""
    if expires_at is None or expires_at <= now:
        raise SubscriptionRequiredAtGate if at_gate else SubscriptionRequired


def sign(path: str, expires_at: datetime, now: datetime) -> tuple[str, datetime]:
    """An address of a folder's files for ten minutes, but not beyond the subscription's end.
    InvalidInput for what is no folder below MANGA_FILES_PREFIX; FilesNotSigned without a secret."""
    config = settings(MangaSettings)
    if not config.files_secret:
        raise FilesNotSigned
    if not is_folder(path, config.files_prefix):
        raise InvalidInput({"path": [f"{config.files_prefix}…/"]})
    until = min(now + SIGNED_FOR, expires_at).replace(microsecond=0)
    return sign_folder(path, config.files_prefix, until, config.files_secret), until
