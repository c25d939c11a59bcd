"""Refusals of Two Manga."""

from __future__ import annotations

from manga_backend.kernel.memberships.errors import SubscriptionRequired


class SubscriptionRequiredAtGate(SubscriptionRequired):
    """The same refusal in a status that Nginx's auth_request understands."""

    status = 403
