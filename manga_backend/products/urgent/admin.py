"""Orders, takes, reviews and complaints in the panel, and the dashboard's numbers of them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from flask import redirect, request, url_for
from flask_admin import expose
from markupsafe import Markup
from sqlalchemy import func, select

from manga_backend.kernel.backoffice.admin import (
    EqualTo,
    ListView,
    act,
    actor,
    current_visitor,
    require_right,
    tell,
)
from manga_backend.kernel.backoffice.messages import chart_of, plain, written
from manga_backend.kernel.backoffice.types import Card, Chart
from manga_backend.kernel.statistics import queries as statistics
from manga_backend.kernel.statistics.types import Metric
from manga_backend.kit.db import MAX_ID, session
from manga_backend.kit.i18n import gettext
from manga_backend.products.urgent import messages, queries
from manga_backend.products.urgent.domain import key_of
from manga_backend.products.urgent.models import Order
from manga_backend.products.urgent.permissions import MODERATE_ORDERS, MODERATE_REVIEWS, READ_ORDERS
from manga_backend.products.urgent.service import orders, reviews
from manga_backend.products.urgent.types import ID_CHARACTERS, OrderFilter, OrderStatus

DAYS = 30
MAX_REASON = 500


def _user(name: str) -> Callable[[Any], Any]:
    """A column that holds a user, as a link to their page."""
    return lambda row: written("user_id", getattr(row, name)) if getattr(row, name) else "—"


def _order(row: Any) -> Any:
    page = url_for("panel_urgent_orders.details_view", id=row.order_id)
    return Markup('<a href="{}" dir="ltr">{}</a>').format(page, row.order_id)


class SameName(EqualTo):
    """A category or a city, as it is compared."""

    def clean(self, value: str) -> Any:
        return key_of(value)


class OrdersView(ListView):
    """What clients asked for."""

    permission = READ_ORDERS
    group = "sale"
    place = 10
    user_column = "client_id"
    user_columns = ("created_at", "category", "city", "status", "executors_count")
    column_list = (
        *("created_at", "category", "city", "status", "executors_count", "client_id"),
        "description",
    )
    column_default_sort = ("created_at", True)
    column_sortable_list = ("created_at",)
    column_searchable_list = ("id",)
    column_filters = ("status", "category_key", "city_key", "client_id")
    column_details_list = (
        *("id", "created_at", "expires_at", "client_id", "category", "city", "description"),
        *("contact", "status", "executors_count", "first_taken_at", "answered_at"),
        "completed_by",
    )
    writers = {"client_id": _user("client_id"), "completed_by": _user("completed_by")}
    exact = {"id": lambda text: text if len(text) == ID_CHARACTERS else None}
    details_template = "backoffice/order.html"

    def render(self, template: str, **kwargs: Any) -> Any:
        order = kwargs.get("model")
        if isinstance(order, Order):
            is_active = order.status is OrderStatus.ACTIVE
            kwargs["may_close"] = is_active and current_visitor().can(MODERATE_ORDERS)
            kwargs["takes"] = queries.list_takes([order.id])[order.id]
            executors = [take.executor_id for take in kwargs["takes"]]
            kwargs["people"] = queries.persons(executors)
        return super().render(template, **kwargs)

    @expose("/close/<order_id>", methods=("POST",))
    def close(self, order_id: str) -> Any:
        require_right(MODERATE_ORDERS)
        reason = request.form.get("reason", "").strip()[:MAX_REASON]
        if reason:
            act(lambda: orders.close_for_all(order_id, actor(), reason))
        else:
            tell(gettext("A reason is needed."), "error")
        return redirect(url_for(".details_view", id=order_id))

    def scaffold_filters(self, name: str) -> list[EqualTo]:
        kind = SameName if name.endswith("_key") else EqualTo
        return [kind(getattr(Order, name), name)]

    @property
    def column_labels(self) -> dict[str, str]:
        """Headings in the reader's language."""
        return {
            "id": gettext("ID"),
            "created_at": gettext("Created"),
            "expires_at": gettext("Until"),
            "client_id": gettext("Client"),
            "category": gettext("Category"),
            "category_key": gettext("Category"),
            "city": gettext("City"),
            "city_key": gettext("City"),
            "description": gettext("What for"),
            "contact": gettext("Contact"),
            "status": gettext("Status"),
            "executors_count": gettext("Executors"),
            "first_taken_at": gettext("First taken"),
            "answered_at": gettext("Answered"),
            "completed_by": gettext("Done by"),
        }


class TakesView(ListView):
    """Who paid for which contact, and who got it back."""

    permission = READ_ORDERS
    group = "sale"
    place = 11
    user_column = "executor_id"
    user_columns = ("taken_at", "order_id", "price", "answered_at", "refunded_at")
    column_list = ("taken_at", "order_id", "executor_id", "price", "answered_at", "refunded_at")
    column_default_sort = ("id", True)
    column_sortable_list = ("taken_at",)
    column_searchable_list = ("order_id",)
    column_filters = ("executor_id", "order_id")
    column_details_list = ("id", *column_list)
    money_columns = ("price",)
    writers = {"executor_id": _user("executor_id"), "order_id": _order}

    @property
    def column_labels(self) -> dict[str, str]:
        """Headings in the reader's language."""
        return {
            "id": gettext("Number"),
            "taken_at": gettext("Taken"),
            "order_id": gettext("Order"),
            "executor_id": gettext("Executor"),
            "price": gettext("Price"),
            "answered_at": gettext("Answered"),
            "refunded_at": gettext("Refunded"),
        }


class ReviewsView(ListView):
    """What clients say; a hidden review is seen by nobody and counts for nothing."""

    permission = READ_ORDERS
    group = "sale"
    place = 12
    user_column = "executor_id"
    user_columns = ("created_at", "rating", "comment", "order_id", "hidden_at")
    column_list = ("created_at", "rating", "comment", "executor_id", "client_id", "hidden_at")
    column_default_sort = ("id", True)
    column_sortable_list = ("created_at", "rating")
    column_searchable_list = ("comment",)
    column_filters = ("rating", "executor_id", "client_id")
    column_details_list = ("id", "order_id", *column_list, "hidden_reason")
    writers = {
        "executor_id": _user("executor_id"),
        "client_id": _user("client_id"),
        "order_id": _order,
        "hidden_reason": lambda row: gettext(row.hidden_reason) if row.hidden_reason else "—",
    }
    details_template = "backoffice/review.html"

    def render(self, template: str, **kwargs: Any) -> Any:
        kwargs["may_moderate"] = current_visitor().can(MODERATE_REVIEWS)
        return super().render(template, **kwargs)

    @expose(f"/hide/<int(max={MAX_ID}):review_id>", methods=("POST",))
    def hide(self, review_id: int) -> Any:
        require_right(MODERATE_REVIEWS)
        reason = request.form.get("reason", "").strip()[:MAX_REASON]
        if reason:
            act(lambda: reviews.hide_review(review_id, actor(), reason))
        else:
            tell(gettext("A reason is needed."), "error")
        return redirect(url_for(".details_view", id=review_id))

    @expose(f"/show/<int(max={MAX_ID}):review_id>", methods=("POST",))
    def show(self, review_id: int) -> Any:
        require_right(MODERATE_REVIEWS)
        act(lambda: reviews.show_review(review_id, actor()))
        return redirect(url_for(".details_view", id=review_id))

    @property
    def column_labels(self) -> dict[str, str]:
        """Headings in the reader's language."""
        return {
            "id": gettext("Number"),
            "created_at": gettext("Written"),
            "rating": gettext("Rating"),
            "comment": gettext("Comment"),
            "executor_id": gettext("Executor"),
            "client_id": gettext("Client"),
            "order_id": gettext("Order"),
            "hidden_at": gettext("Hidden"),
            "hidden_reason": gettext("Reason"),
        }


class ComplaintsView(ListView):
    """What executors complain about; decisions are made at the desk."""

    permission = READ_ORDERS
    group = "sale"
    place = 13
    user_column = "executor_id"
    user_columns = ("created_at", "reason", "status", "order_id", "note")
    column_list = ("created_at", "reason", "status", "order_id", "executor_id", "decided_at")
    column_default_sort = ("id", True)
    column_sortable_list = ("created_at",)
    column_searchable_list = ("reason", "comment")
    column_filters = ("status", "executor_id")
    column_details_list = ("id", *column_list, "comment", "note")
    writers = {"executor_id": _user("executor_id"), "order_id": _order}

    @property
    def column_labels(self) -> dict[str, str]:
        """Headings in the reader's language."""
        return {
            "id": gettext("Number"),
            "created_at": gettext("Written"),
            "reason": gettext("Reason"),
            "comment": gettext("Comment"),
            "status": gettext("Status"),
            "order_id": gettext("Order"),
            "executor_id": gettext("Executor"),
            "decided_at": gettext("Decided"),
            "note": gettext("What the admin said"),
        }


def cards() -> list[Card]:
    """How many can be taken now."""
    open_orders = queries.public_orders(OrderFilter()).order_by(None).subquery()
    count = session().scalar(select(func.count()).select_from(open_orders)) or 0
    return [Card(gettext("Active orders"), plain(count), "panel_urgent_orders.index_view")]


def charts() -> list[Chart]:
    """The last DAYS days: orders, contacts sold, and how many of a hundred orders were done."""
    today = statistics.today()
    days = [today - timedelta(days=DAYS - 1 - n) for n in range(DAYS)]
    daily = statistics.by_day(days, (Metric.FACTS,))

    def counted(label: str) -> list[int]:
        return [daily[day][Metric.FACTS].get(label, 0) for day in days]

    posted, taken = counted(messages.POSTED), counted(messages.TAKEN)
    done = counted(messages.FACT_OF_STATUS[OrderStatus.COMPLETED])
    rates = [100 * d // max(1, p) for d, p in zip(done, posted, strict=True)]
    page = "panel_urgent_orders.index_view"
    total_rate = 100 * sum(done) // max(1, sum(posted))
    return [
        chart_of(gettext("Orders posted"), days, posted, plain(sum(posted)), page),
        chart_of(
            gettext("Contacts sold"),
            *(days, taken, plain(sum(taken)), "panel_urgent_takes.index_view"),
        ),
        chart_of(gettext("Orders done, of a hundred"), days, rates, plain(total_rate), page),
    ]
