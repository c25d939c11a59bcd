"""Payments in the panel."""

from __future__ import annotations

from typing import Any

from manga_backend.kernel.backoffice.admin import ListView, written
from manga_backend.kernel.money.chains.domain import shown
from manga_backend.kernel.money.payments.models import Payment
from manga_backend.kernel.money.payments.permissions import READ_PAYMENTS
from manga_backend.kit.i18n import gettext, left_to_right
from manga_backend.kit.money import Money


def _amount(_view: Any, _context: Any, payment: Payment, _name: str) -> Any:
    return left_to_right(f"{Money(payment.amount, payment.currency)} {payment.currency}")


def _hash(_view: Any, _context: Any, payment: Payment, _name: str) -> Any:
    if payment.tx_hash is None or payment.network is None:
        return "—"
    return left_to_right(shown(payment.network, payment.tx_hash))


class PaymentsView(ListView):
    """All payments; decisions are made at the desk."""

    permission = READ_PAYMENTS
    column_list = ("submitted_at", "method", "status", "amount", "network", "tx_hash", "decided_at")
    column_default_sort = ("id", True)
    column_sortable_list = ("submitted_at", "decided_at")
    column_searchable_list = ("tx_hash",)
    column_filters = ("status", "method", "network")
    column_details_list = (
        *("id", "user_id", "method", "status", "amount", "network", "tx_hash", "submitted_at"),
        *("decided_at", "decided_by_label", "reason"),
    )
    column_formatters = {
        **dict.fromkeys(column_details_list, written),
        "amount": _amount,
        "tx_hash": _hash,
    }
    column_formatters_detail = column_formatters

    @property
    def column_labels(self) -> dict[str, str]:
        """Headings in the reader's language."""
        return {
            "id": gettext("ID"),
            "user_id": gettext("User"),
            "submitted_at": gettext("Sent"),
            "method": gettext("Method"),
            "status": gettext("Status"),
            "amount": gettext("Amount"),
            "network": gettext("Network"),
            "tx_hash": gettext("Hash"),
            "decided_at": gettext("Decided"),
            "decided_by_label": gettext("Decided by"),
            "reason": gettext("Reason"),
        }
