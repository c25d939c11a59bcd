"""Payments in the panel."""

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
from manga_backend.kernel.money.chains.domain import any_hash
from manga_backend.kernel.money.payments.models import ChainTransfer, Payment
from manga_backend.kernel.money.payments.permissions import READ_PAYMENTS, REFUND
from manga_backend.kernel.money.payments.queries import list_refunds
from manga_backend.kernel.money.payments.service.refunds import refund
from manga_backend.kernel.money.payments.service.stars import request_again
from manga_backend.kernel.money.payments.types import Method, PaymentStatus
from manga_backend.kit.i18n import gettext, left_to_right

MAX_REASON = 500


def _hash(row: Payment | ChainTransfer) -> Any:
    return left_to_right(row.shown_hash or "—")


class PaymentsView(ListView):
    """All payments; decisions are made at the desk."""

    permission = READ_PAYMENTS
    group = "money"
    place = 1
    user_columns = ("submitted_at", "method", "status", "amount", "tx_hash", "reason")
    column_list = ("submitted_at", "method", "status", "amount", "network", "tx_hash", "decided_at")
    column_default_sort = ("id", True)
    column_sortable_list = ("submitted_at", "decided_at")
    column_searchable_list = ("tx_hash",)
    column_filters = ("status", "method", "network", "user_id")
    column_details_list = (
        *("id", "user_id", "method", "status", "amount", "network", "tx_hash", "submitted_at"),
        *("decided_at", "decided_by_label", "reason"),
    )
    money_columns = ("amount",)
    writers = {"tx_hash": _hash}
    exact = {"tx_hash": any_hash}
    details_template = "backoffice/payment.html"

    def render(self, template: str, **kwargs: Any) -> Any:
        model = kwargs.get("model")
        if isinstance(model, Payment):
            kwargs["in_stars"] = model.method is Method.STARS
            kwargs["stars"] = list_refunds(model.id) if model.method is Method.STARS else []
            kwargs["may_ask_again"] = current_visitor().can(REFUND)
            paid = model.status is PaymentStatus.APPROVED and model.amount > 0
            is_open = paid and all(row.is_surplus for row in kwargs["stars"])
            kwargs["may_refund"] = is_open and current_visitor().can(REFUND)
        return super().render(template, **kwargs)

    @expose("/refund/<uuid:payment_id>", methods=("POST",))
    def refund(self, payment_id: uuid.UUID) -> Any:
        require_proof(REFUND)
        reason = request.form.get("reason", "").strip()[:MAX_REASON]
        if reason:
            act(lambda: refund(payment_id, actor(), reason))
        else:
            tell(gettext("A reason is needed."), "error")
        return redirect(url_for(".details_view", id=payment_id))

    @expose("/ask-again/<uuid:payment_id>", methods=("POST",))
    def ask_again(self, payment_id: uuid.UUID) -> Any:
        require_proof(REFUND)
        charge_id = request.form.get("charge_id", "")
        act(lambda: request_again(payment_id, charge_id, actor()))
        return redirect(url_for(".details_view", id=payment_id))

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


class InvoicesView(ListView):
    """What users owe and owed."""

    permission = READ_PAYMENTS
    group = "money"
    place = 3
    user_columns = ("created_at", "item_code", "status", "amount", "paid_at")
    column_list = ("created_at", "user_id", "product", "item_code", "status", "amount", "paid_at")
    column_default_sort = ("id", True)
    column_sortable_list = ("created_at", "paid_at")
    column_filters = ("status", "product", "user_id")
    column_details_list = ("id", *column_list, "title", "expires_at")
    money_columns = ("amount",)

    @property
    def column_labels(self) -> dict[str, str]:
        """Headings in the reader's language."""
        return {
            "id": gettext("ID"),
            "created_at": gettext("Created"),
            "user_id": gettext("User"),
            "product": gettext("Product"),
            "item_code": gettext("Plan"),
            "title": gettext("For"),
            "status": gettext("Status"),
            "amount": gettext("Amount"),
            "paid_at": gettext("Paid"),
            "expires_at": gettext("Until"),
        }


class ChainTransfersView(ListView):
    """What came to our addresses; without a payment it belongs to nobody yet."""

    permission = READ_PAYMENTS
    group = "money"
    place = 4
    column_list = ("block_time", "network", "amount", "sender", "tx_hash", "payment_id")
    column_default_sort = ("id", True)
    column_sortable_list = ("block_time",)
    column_searchable_list = ("tx_hash", "sender")
    column_filters = ("network",)
    column_details_list = (*column_list, "log_index", "raw_amount", "seen_at")
    money_columns = ("amount",)
    writers = {"tx_hash": _hash}
    exact = {"tx_hash": any_hash}

    @property
    def column_labels(self) -> dict[str, str]:
        """Headings in the reader's language."""
        return {
            "block_time": gettext("When"),
            "network": gettext("Network"),
            "amount": gettext("Amount"),
            "sender": gettext("From"),
            "tx_hash": gettext("Hash"),
            "payment_id": gettext("Payment"),
            "log_index": gettext("Number"),
            "raw_amount": gettext("In the token's own units"),
            "seen_at": gettext("Seen"),
        }
