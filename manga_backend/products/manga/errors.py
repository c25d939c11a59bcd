"""Refusals of Two Manga."""

from __future__ import annotations

from manga_backend.kernel.memberships.errors import SubscriptionRequired
from manga_backend.kit.i18n import N_
from manga_backend.kit.problems import DomainError


class SubscriptionRequiredAtGate(SubscriptionRequired):
    """The same refusal in a status that Nginx's auth_request understands."""

    status = 403


class FilesNotSigned(DomainError):
    """The deployer set no MANGA_FILES_SECRET: files are asked for with a header here."""

    status = 404
    code = "files_not_signed"
    detail = N_("There is nothing here.")
