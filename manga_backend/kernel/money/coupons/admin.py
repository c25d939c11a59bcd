"""Coupons in the panel."""

from __future__ import annotations

from manga_backend.kernel.backoffice.admin import ListView
from manga_backend.kernel.money.coupons.domain import shown
from manga_backend.kernel.money.coupons.permissions import READ_COUPONS
from manga_backend.kit.i18n import gettext, left_to_right


class CouponsView(ListView):
    """All coupons, by batch."""

    permission = READ_COUPONS
    group = "sale"
    place = 3
    column_list = ("code", "batch_id", "days", "uses", "max_uses", "expires_at", "created_at")
    column_default_sort = ("id", True)
    column_sortable_list = ("created_at", "expires_at", "uses")
    column_searchable_list = ("code",)
    column_filters = ("batch_id", "gift")
    writers = {"code": lambda coupon: left_to_right(shown(coupon.code))}
    column_details_list = column_list

    @property
    def column_labels(self) -> dict[str, str]:
        """Headings in the reader's language."""
        return {
            "code": gettext("Code"),
            "batch_id": gettext("Batch"),
            "days": gettext("Days"),
            "gift": gettext("Gift"),
            "uses": gettext("Used"),
            "max_uses": gettext("Max uses"),
            "expires_at": gettext("Until"),
            "created_at": gettext("Created"),
        }
