"""The admin secret: a credential of the team's own programs."""

from __future__ import annotations

import hmac

from manga_backend.kernel.backoffice.service import record_audit
from manga_backend.kernel.backoffice.types import Actor, Channel
from manga_backend.kernel.identity.errors import AdminSecretRequired, AdminSecretWrong
from manga_backend.kernel.identity.settings import IdentitySettings
from manga_backend.kit.settings import settings


def check_admin_secret(given: str | None, address: str) -> Actor:
    """Who holds the admin secret may make coupons; compared in constant time.

    AdminSecretRequired without one; AdminSecretWrong leaves an audit row.
    """
    if not given:
        raise AdminSecretRequired
    actor = Actor("admin_secret", "X-Admin-Secret", Channel.API, address=address)
    expected = settings(IdentitySettings).admin_secret
    if not expected or not hmac.compare_digest(given.encode(), expected.encode()):
        record_audit(actor, "admin_secret.wrong", "route", "/admin/system/coupon")
        raise AdminSecretWrong
    return actor
