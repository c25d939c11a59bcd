"""Withdrawals in the panel; decisions are made at the desk."""

from __future__ import annotations

import uuid
from typing import Any

from flask import redirect, request, url_for
from flask_admin import expose

from manga_backend.kernel.backoffice.admin import (
    ListView,
    act,
    actor,
    current_visitor,
    require_proof,
    tell,
)
from manga_backend.kernel.backoffice.types import Card
from manga_backend.kernel.money.chains.domain import any_hash
from manga_backend.kernel.money.payouts import queries
from manga_backend.kernel.money.payouts.models import Payout
from manga_backend.kernel.money.payouts.permissions import (
    READ_PAYOUTS,
    SETTLE_PAYOUTS,
    VOUCH_FOR_PAYOUTS,
)
from manga_backend.kernel.money.payouts.service.sending import give_up, mark_paid, vouch_not_sent
from manga_backend.kernel.money.payouts.types import PayoutStatus
from manga_backend.kit.i18n import gettext, left_to_right, local_digits

MAX_REASON = 500


class PayoutsView(ListView):
    """All withdrawals."""

    permission = READ_PAYOUTS
    group = "money"
    place = 2
    user_columns = ("requested_at", "status", "amount", "network", "address")
    column_list = ("requested_at", "user_id", "status", "amount", "network", "address", "problem")
    column_default_sort = ("id", True)
    column_sortable_list = ("requested_at",)
    column_searchable_list = ("address", "tx_hash")
    column_filters = ("status", "network", "user_id")
    column_details_list = (
        *("id", *column_list, "decided_by_label", "attempts", "tried_at", "ask_at"),
        *("told_to", "reference", "tx_hash", "reason", "finished_at"),
    )
    money_columns = ("amount",)
    writers = {"tx_hash": lambda row: left_to_right(row.shown_hash or "—")}
    exact = {"tx_hash": any_hash}
    details_template = "backoffice/payout.html"

    def render(self, template: str, **kwargs: Any) -> Any:
        model = kwargs.get("model")
        if isinstance(model, Payout):
            processing = model.status is PayoutStatus.PROCESSING
            kwargs["may_settle"] = processing and current_visitor().can(SETTLE_PAYOUTS)
            kwargs["may_vouch"] = processing and current_visitor().can(VOUCH_FOR_PAYOUTS)
        return super().render(template, **kwargs)

    @expose("/paid/<uuid:payout_id>", methods=("POST",))
    def paid(self, payout_id: uuid.UUID) -> Any:
        require_proof(SETTLE_PAYOUTS)
        tx_hash = request.form.get("tx_hash", "").strip()
        act(lambda: mark_paid(payout_id, tx_hash, actor()))
        return redirect(url_for(".details_view", id=payout_id))

    @expose("/give-back/<uuid:payout_id>", methods=("POST",))
    def give_back(self, payout_id: uuid.UUID) -> Any:
        return self._take_back(payout_id, give_up, SETTLE_PAYOUTS)

    @expose("/not-sent/<uuid:payout_id>", methods=("POST",))
    def not_sent(self, payout_id: uuid.UUID) -> Any:
        return self._take_back(payout_id, vouch_not_sent, VOUCH_FOR_PAYOUTS)

    def _take_back(self, payout_id: uuid.UUID, command: Any, permission: str) -> Any:
        require_proof(permission)
        reason = request.form.get("reason", "").strip()[:MAX_REASON]
        if not reason:
            tell(gettext("A reason is needed."), "error")
        else:
            act(lambda: command(payout_id, actor(), reason))
        return redirect(url_for(".details_view", id=payout_id))

    @property
    def column_labels(self) -> dict[str, str]:
        """Headings in the reader's language."""
        return {
            "id": gettext("ID"),
            "user_id": gettext("User"),
            "requested_at": gettext("Requested"),
            "status": gettext("Status"),
            "amount": gettext("Amount"),
            "network": gettext("Network"),
            "address": gettext("Address"),
            "problem": gettext("Problem"),
            "decided_by_label": gettext("Decided by"),
            "attempts": gettext("Attempts"),
            "tried_at": gettext("Last told to send"),
            "ask_at": gettext("Asked next"),
            "told_to": gettext("Given to"),
            "reference": gettext("Reference"),
            "tx_hash": gettext("Hash"),
            "reason": gettext("Reason"),
            "finished_at": gettext("Finished"),
        }


def cards() -> list[Card]:
    """How many wait for somebody's hands."""
    waiting = queries.count_for_people()
    number = local_digits(str(waiting))
    title = gettext("Withdrawals to see to")
    return [Card(title, number, "panel_payouts.index_view", urgent=waiting > 0)]
