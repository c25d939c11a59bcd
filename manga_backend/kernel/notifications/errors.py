"""Refusals of the outbox."""

from __future__ import annotations

from manga_backend.kit.i18n import N_
from manga_backend.kit.problems import DomainError


class NothingToRetry(DomainError):
    """The message has left, or will leave by itself."""

    status = 409
    code = "nothing_to_retry"
    detail = N_("This message was not given up.")
