"""Giving days and making coupons in the panel."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from flask import redirect, request, url_for
from flask_admin import expose

from manga_backend.kernel.backoffice.admin import ListView, PanelView, act, actor, tell, written
from manga_backend.kernel.identity.queries import find_user_by_username
from manga_backend.kernel.memberships import queries, service
from manga_backend.kernel.memberships.permissions import GIVE_DAYS
from manga_backend.kernel.memberships.schemas import MAX_COUNT, MAX_DAYS, MAX_USES
from manga_backend.kernel.money.coupons.domain import shown
from manga_backend.kernel.money.coupons.permissions import ISSUE_COUPONS
from manga_backend.kernel.money.coupons.queries import find_coupon, list_batch
from manga_backend.kit import clock
from manga_backend.kit.db import MAX_ID
from manga_backend.kit.i18n import gettext

MAX_TEXT = 500


def whole_number(name: str, least: int, most: int) -> int | None:
    """A whole number from the form at hand (Persian digits are read); None when it is not one."""
    try:
        number = int(request.form.get(name, "").strip())
    except ValueError:
        return None
    return number if least <= number <= most else None


def _note(name: str) -> str:
    return request.form.get(name, "").strip()[:MAX_TEXT]


class SubscriptionsView(ListView):
    """Who may read until when."""

    permission = GIVE_DAYS
    column_list = ("user_id", "product", "plan_code", "started_at", "expires_at")
    column_default_sort = ("expires_at", True)
    column_sortable_list = ("started_at", "expires_at")
    column_filters = ("product", "plan_code", "user_id")
    column_formatters = dict.fromkeys(column_list, written)
    column_formatters_detail = column_formatters
    column_details_list = column_list

    @property
    def column_labels(self) -> dict[str, str]:
        """Headings in the reader's language."""
        return {
            "user_id": gettext("User"),
            "product": gettext("Product"),
            "plan_code": gettext("Plan"),
            "started_at": gettext("From"),
            "expires_at": gettext("Until"),
        }


class GiveDaysView(PanelView):
    """Give subscription time, or take it back with a negative number; always with a reason."""

    permission = GIVE_DAYS

    @expose("/", methods=("GET", "POST"))
    def index(self) -> Any:
        if request.method == "POST":
            self._give()
            return redirect(url_for(".index", username=request.form.get("username", "")))
        user = find_user_by_username(request.args.get("username", ""))
        return self.render(
            "backoffice/give_days.html",
            user=user,
            subscriptions=queries.list_subscriptions(user.id) if user else [],
            products=sorted({plan.product for plan in queries.list_plans()}),
        )

    @staticmethod
    def _give() -> None:
        user = find_user_by_username(request.form.get("username", ""))
        days = whole_number("days", -MAX_DAYS, MAX_DAYS)
        reason = _note("reason")
        products = {plan.product for plan in queries.list_plans()}
        product = request.form.get("product", "")
        if user is None:
            tell(gettext("There is no such user."), "error")
        elif not days or not reason or product not in products:
            tell(gettext("A product, a number of days and a reason are needed."), "error")
        else:
            act(lambda: service.give_days(user.id, product, days, actor(), reason))


class IssueCouponsView(PanelView):
    """Make a batch of gift coupons; a page of its own shows the codes, so that a reload makes no
    second batch."""

    permission = ISSUE_COUPONS

    @expose("/", methods=("GET", "POST"))
    def index(self) -> Any:
        if request.method == "POST" and (made := self._issue()):
            coupon = find_coupon(made[0])
            assert coupon is not None
            return redirect(url_for(".index", batch=coupon.batch_id))
        codes = self._codes_of(request.args.get("batch", ""))
        most = {"days": MAX_DAYS, "count": MAX_COUNT, "max_uses": MAX_USES}
        return self.render("backoffice/issue_coupons.html", codes=codes, most=most)

    @staticmethod
    def _codes_of(batch: str) -> list[str]:
        if not batch.isascii() or not batch.isdecimal() or int(batch) > MAX_ID:
            return []
        return [shown(coupon.code) for coupon in list_batch(int(batch))]

    @staticmethod
    def _issue() -> list[str]:
        days = whole_number("days", 1, MAX_DAYS)
        count = whole_number("count", 1, MAX_COUNT)
        max_uses = whole_number("max_uses", 1, MAX_USES)
        valid_days = whole_number("valid_days", 1, MAX_DAYS)
        unreadable_end = valid_days is None and bool(_note("valid_days"))
        if days is None or count is None or max_uses is None or unreadable_end:
            tell(gettext("Enter whole numbers within the limits shown below the fields."), "error")
            return []
        expires_at = clock.now() + timedelta(days=valid_days) if valid_days else None
        made: list[str] = []
        act(
            lambda: made.extend(
                service.issue_coupons(
                    actor(),
                    days=days,
                    count=count,
                    max_uses=max_uses,
                    expires_at=expires_at,
                    note=_note("note") or None,
                )
            )
        )
        return made
