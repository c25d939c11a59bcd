"""The book in the panel: accounts and transfers, to be read; a wallet, to be put right."""

from __future__ import annotations

import uuid
from typing import Any

from flask import abort, redirect, request, url_for
from flask_admin import expose
from sqlalchemy import Select

from manga_backend.kernel.backoffice.admin import (
    ListView,
    PanelView,
    act,
    actor,
    require_proof,
    tell,
)
from manga_backend.kernel.backoffice.types import Person
from manga_backend.kernel.identity.queries import find_user_called
from manga_backend.kernel.money.ledger import queries, service
from manga_backend.kernel.money.ledger.permissions import CORRECT_WALLETS, READ_LEDGER
from manga_backend.kit.i18n import gettext
from manga_backend.kit.money import WALLET_CURRENCIES, parse_decimal

MAX_REASON = 500


class AccountsView(ListView):
    """Every account with its sums."""

    permission = READ_LEDGER
    group = "money"
    place = 8
    user_columns = ("currency", "balance", "debits_pending")
    column_list = (
        *("code", "kind", "currency", "user_id", "balance"),
        *("debits_posted", "credits_posted", "debits_pending", "credits_pending"),
    )
    column_default_sort = ("id", True)
    column_searchable_list = ("code",)
    column_filters = ("kind", "currency", "user_id")
    money_columns = (
        "balance",
        "debits_posted",
        "credits_posted",
        "debits_pending",
        "credits_pending",
    )
    column_details_list = column_list

    def of_user(self, user: Person) -> Select[Any]:
        """The wallets."""
        return queries.wallets_of(user.id)

    @property
    def column_labels(self) -> dict[str, str]:
        """Headings in the reader's language."""
        return {
            "code": gettext("Account"),
            "kind": gettext("Kind"),
            "currency": gettext("Currency"),
            "user_id": gettext("User"),
            "balance": gettext("Balance"),
            "debits_posted": gettext("Debits"),
            "credits_posted": gettext("Credits"),
            "debits_pending": gettext("Reserved debits"),
            "credits_pending": gettext("Reserved credits"),
        }


class TransfersView(ListView):
    """Every transfer."""

    permission = READ_LEDGER
    group = "money"
    place = 9
    user_columns = ("created_at", "kind", "state", "amount", "currency", "subject")
    column_list = (
        *("created_at", "kind", "state", "amount", "currency"),
        *("debit_account_id", "credit_account_id", "subject"),
    )
    column_default_sort = ("id", True)
    column_searchable_list = ("key", "subject")
    column_filters = ("kind", "state", "currency", "debit_account_id", "credit_account_id")
    column_details_list = (*column_list, "key", "note", "actor", "settled_at")

    def of_user(self, user: Person) -> Select[Any]:
        """What went into and out of the wallets."""
        return queries.transfers_of_wallets(user.id)

    money_columns = ("amount",)

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


class WalletsView(PanelView):
    """Put a wallet right: money in, or out with a negative amount; always with a reason."""

    permission = CORRECT_WALLETS
    group = "money"
    place = 5

    @expose("/", methods=("GET", "POST"))
    def index(self) -> Any:
        if request.method == "POST":
            require_proof(CORRECT_WALLETS)
            self._correct()
            return redirect(url_for(".index", username=request.form.get("username", "")))
        user = find_user_called(request.args.get("username", ""))
        return self.render(
            "backoffice/wallets.html",
            user=user,
            wallets=queries.list_wallets(user.id) if user else [],
            currencies=WALLET_CURRENCIES,
            form_id=uuid.uuid4(),
        )

    @staticmethod
    def _correct() -> None:
        form = request.form
        currency = form.get("currency", "")
        try:
            key = f"correction:{uuid.UUID(form.get('form', ''))}"
        except ValueError:
            abort(400)
        if currency not in WALLET_CURRENCIES:
            abort(400)
        user = find_user_called(form.get("username", ""))
        typed = form.get("amount", "").strip()
        amount = parse_decimal(typed.removeprefix("-"), currency)
        reason = form.get("reason", "").strip()[:MAX_REASON]
        if user is None:
            tell(gettext("There is no such user."), "error")
        elif not amount or not reason:
            tell(gettext("An amount such as 5 or -4.99 and a reason are needed."), "error")
        else:
            signed = -amount if typed.startswith("-") else amount
            act(
                lambda: service.correct_wallet(
                    user.id, signed, currency, key=key, reason=reason, actor=actor()
                )
            )
