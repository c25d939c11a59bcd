"""What is told and forgotten by the clock."""

from __future__ import annotations

from manga_backend.kernel.memberships import service
from manga_backend.kernel.memberships.types import EndAt
from manga_backend.kit.db import transaction


def tell_ends() -> None:
    """Tell users of subscriptions that end or have ended; one transaction for each batch."""
    after: EndAt | None = None
    while True:
        with transaction():
            after = service.tell_ends(after)
        if after is None:
            return


def purge_notices() -> None:
    """Forget what was told long ago."""
    with transaction():
        service.purge_notices()
