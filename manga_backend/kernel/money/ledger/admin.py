"""The book in the panel: accounts and transfers, to be read."""

from __future__ import annotations

from typing import Any

from manga_backend.kernel.backoffice.admin import ListView, written
from manga_backend.kernel.money.ledger.permissions import READ_LEDGER
from manga_backend.kit.i18n import gettext, left_to_right
from manga_backend.kit.money import decimal_string

_MONEY = ("debits_posted", "credits_posted", "debits_pending", "credits_pending", "amount")


def _money(_view: Any, _context: Any, row: Any, name: str) -> Any:
    return left_to_right(decimal_string(getattr(row, name), row.currency))


class AccountsView(ListView):
    """Every account with its sums."""

    permission = READ_LEDGER
    column_list = (
        *("code", "kind", "currency", "user_id"),
        *("debits_posted", "credits_posted", "debits_pending", "credits_pending"),
    )
    column_default_sort = ("id", True)
    column_searchable_list = ("code",)
    column_filters = ("kind", "currency", "user_id")
    column_formatters = {**dict.fromkeys(column_list, written), **dict.fromkeys(_MONEY, _money)}
    column_formatters_detail = column_formatters
    column_details_list = column_list

    @property
    def column_labels(self) -> dict[str, str]:
        """Headings in the reader's language."""
        return {
            "code": gettext("Account"),
            "kind": gettext("Kind"),
            "currency": gettext("Currency"),
            "user_id": gettext("User"),
            "debits_posted": gettext("Debits"),
            "credits_posted": gettext("Credits"),
            "debits_pending": gettext("Reserved debits"),
            "credits_pending": gettext("Reserved credits"),
        }


class TransfersView(ListView):
    """Every transfer."""

    permission = READ_LEDGER
    column_list = (
        *("created_at", "kind", "state", "amount", "currency"),
        *("debit_account_id", "credit_account_id", "subject"),
    )
    column_default_sort = ("id", True)
    column_searchable_list = ("key", "subject")
    column_filters = ("kind", "state", "currency", "debit_account_id", "credit_account_id")
    column_details_list = (*column_list, "key", "note", "actor", "settled_at")
    column_formatters = {**dict.fromkeys(column_details_list, written), "amount": _money}
    column_formatters_detail = column_formatters

    @property
    def column_labels(self) -> dict[str, str]:
        """Headings in the reader's language."""
        return {
            "created_at": gettext("Created"),
            "kind": gettext("Kind"),
            "state": gettext("Status"),
            "amount": gettext("Amount"),
            "currency": gettext("Currency"),
            "debit_account_id": gettext("Debited"),
            "credit_account_id": gettext("Credited"),
            "subject": gettext("About"),
            "key": gettext("Key"),
            "note": gettext("Note"),
            "actor": gettext("By"),
            "settled_at": gettext("Settled"),
        }
