"""Giving days and making coupons in the panel."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from flask import Response, abort, redirect, request, url_for
from flask_admin import expose

from manga_backend.kernel.backoffice.admin import (
    ListView,
    PanelView,
    act,
    actor,
    current_visitor,
    require_proof,
    require_right,
    tell,
)
from manga_backend.kernel.identity.queries import find_user_called
from manga_backend.kernel.memberships import queries, service
from manga_backend.kernel.memberships.models import Plan
from manga_backend.kernel.memberships.permissions import CHANGE_PLANS, GIVE_DAYS, READ_PLANS
from manga_backend.kernel.memberships.schemas import MAX_COUNT, MAX_DAYS, MAX_USES
from manga_backend.kernel.memberships.types import PlanDraft
from manga_backend.kernel.money.coupons.domain import shown
from manga_backend.kernel.money.coupons.permissions import ISSUE_COUPONS
from manga_backend.kernel.money.coupons.queries import find_coupon, list_batch
from manga_backend.kernel.money.coupons.service import revoke
from manga_backend.kernel.money.coupons.types import CreditGift, Gift, PercentGift
from manga_backend.kit import clock
from manga_backend.kit.db import MAX_ID, rollback
from manga_backend.kit.i18n import gettext
from manga_backend.kit.money import WALLET_CURRENCIES, Money, parse_decimal
from manga_backend.kit.problems import InvalidInput
from manga_backend.kit.settings import LANGUAGES

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
    group = "people"
    place = 2
    user_columns = ("product", "plan_code", "started_at", "expires_at")
    column_list = ("user_id", "product", "plan_code", "started_at", "expires_at")
    column_default_sort = ("expires_at", True)
    column_sortable_list = ("started_at", "expires_at")
    column_filters = ("product", "plan_code", "user_id")
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
    group = "people"

    @expose("/", methods=("GET", "POST"))
    def index(self) -> Any:
        if request.method == "POST":
            self._give()
            return redirect(url_for(".index", username=request.form.get("username", "")))
        user = find_user_called(request.args.get("username", ""))
        return self.render(
            "backoffice/give_days.html",
            user=user,
            subscriptions=queries.list_subscriptions(user.id) if user else [],
            products=sorted({plan.product for plan in queries.list_plans()}),
        )

    @staticmethod
    def _give() -> None:
        require_proof(GIVE_DAYS)
        user = find_user_called(request.form.get("username", ""))
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


class PlansView(PanelView):
    """What is sold and for how much; a change counts for new invoices only."""

    permission = READ_PLANS
    group = "sale"
    place = 1

    @expose("/")
    def index(self) -> Any:
        return self.render(
            "backoffice/plans.html",
            plans=queries.list_all_plans(),
            may_change=current_visitor().can(CHANGE_PLANS),
        )

    @expose("/new", methods=("GET", "POST"))
    def new(self) -> Any:
        require_right(CHANGE_PLANS)
        return self._form(None)

    @expose("/<code>", methods=("GET", "POST"))
    def edit(self, code: str) -> Any:
        require_right(CHANGE_PLANS)
        plan = queries.find_plan(code)
        if plan is None:
            abort(404)
        return self._form(plan)

    def _form(self, plan: Plan | None) -> Any:
        if request.method == "GET":
            return self._page(plan, _plan_as_typed(plan) if plan else {"is_on_sale": "1"})
        require_proof(CHANGE_PLANS)
        draft, errors = _read_plan(plan.code if plan else None)
        if not errors:
            try:
                service.save_plan(draft, actor(), new=plan is None)
            except InvalidInput as refusal:
                rollback()
                errors = refusal.errors or {}
        if errors:
            return Response(self._page(plan, request.form.to_dict(), errors), 400)
        tell(gettext("Done."))
        return redirect(url_for(".index"))

    def _page(
        self, plan: Plan | None, typed: dict[str, str], errors: dict[str, list[str]] | None = None
    ) -> Any:
        return self.render(
            "backoffice/plan_form.html",
            plan=plan,
            typed=typed,
            errors=errors or {},
            products=sorted({one.product for one in queries.list_all_plans()}),
            currencies=WALLET_CURRENCIES,
        )


def _plan_as_typed(plan: Plan) -> dict[str, str]:
    """The form of a plan that is there."""
    flags = {"is_default": plan.is_default, "is_on_sale": plan.is_on_sale}
    return {
        "code": plan.code,
        "product": plan.product,
        **{f"name_{code}": str(name) for code, name in plan.names.items()},
        "days": str(plan.days),
        "price": str(Money(plan.price, plan.currency)),
        "currency": plan.currency,
        "position": str(plan.position),
        **{name: "1" for name, is_set in flags.items() if is_set},
    }


def _read_plan(code: str | None) -> tuple[PlanDraft, dict[str, list[str]]]:
    """The form at hand, and what can't even be read of it."""
    form, errors = request.form, {}
    currency = form.get("currency", "")
    if currency not in WALLET_CURRENCIES:
        abort(400)
    price = parse_decimal(form.get("price", "").strip(), currency)
    if price is None:
        words = gettext("Write an amount such as 5 or 4.99, with ASCII digits and a point.")
        errors["price"] = [words]
    names = {lang: form.get(f"name_{lang}", "").strip()[:MAX_TEXT] for lang in LANGUAGES}
    draft = PlanDraft(
        code=code or form.get("code", "").strip().lower(),
        product=form.get("product", "").strip()[:40],
        names={lang: name for lang, name in names.items() if name},
        days=whole_number("days", 1, service.MAX_PLAN_DAYS) or 0,
        price=price or 0,
        currency=currency,
        is_default="is_default" in form,
        is_on_sale="is_on_sale" in form,
        position=whole_number("position", 0, 30_000) or 0,
    )
    return draft, errors


class IssueCouponsView(PanelView):
    """Make a batch of coupons of any kind; a page of its own shows the codes, so that a reload
    makes no second batch. They can be downloaded there, and revoked."""

    permission = ISSUE_COUPONS
    group = "sale"
    place = 2

    @expose("/", methods=("GET", "POST"))
    def index(self) -> Any:
        if request.method == "POST" and (made := self._issue()):
            coupon = find_coupon(made[0])
            assert coupon is not None
            return redirect(url_for(".index", batch=coupon.batch_id))
        codes = self._codes_of(request.args.get("batch", ""))
        most = {"days": MAX_DAYS, "count": MAX_COUNT, "max_uses": MAX_USES}
        batch = request.args.get("batch", "") if codes else ""
        return self.render("backoffice/issue_coupons.html", codes=codes, most=most, batch=batch)

    @expose("/<int:batch>.csv")
    def download(self, batch: int) -> Any:
        """The codes of a batch, a line each. A code starts with a letter or a digit, so that no
        spreadsheet takes it for a formula."""
        codes = self._codes_of(str(batch))
        if not codes:
            abort(404)
        lines = "".join(f"{line}\r\n" for line in ("code", *codes))
        answer = Response(lines, mimetype="text/csv")
        answer.headers["Content-Disposition"] = f'attachment; filename="coupons-{batch}.csv"'
        return answer

    @expose("/<int:batch>/revoke", methods=("POST",))
    def revoke(self, batch: int) -> Any:
        if not self._codes_of(str(batch)):
            abort(404)
        act(lambda: revoke([coupon.id for coupon in list_batch(batch)], actor()))
        return redirect(url_for(".index", batch=batch))

    @staticmethod
    def _codes_of(batch: str) -> list[str]:
        if not batch.isascii() or not batch.isdecimal() or int(batch) > MAX_ID:
            return []
        return [shown(coupon.code) for coupon in list_batch(int(batch))]

    @staticmethod
    def _issue() -> list[str]:
        """The new batch's codes; none, and what is wrong is told."""
        require_proof(ISSUE_COUPONS)
        gift = _read_gift()
        count = whole_number("count", 1, MAX_COUNT)
        max_uses = whole_number("max_uses", 1, MAX_USES)
        valid_days = whole_number("valid_days", 1, MAX_DAYS)
        unreadable_end = valid_days is None and bool(_note("valid_days"))
        if gift is None or count is None or max_uses is None or unreadable_end:
            tell(gettext("Enter whole numbers within the limits shown below the fields."), "error")
            return []
        expires_at = clock.now() + timedelta(days=valid_days) if valid_days else None
        made: list[str] = []
        act(
            lambda: made.extend(
                service.issue_gifts(
                    actor(),
                    service.days_gift(gift) if isinstance(gift, int) else gift,
                    count=count,
                    max_uses=max_uses,
                    expires_at=expires_at,
                    note=_note("note") or None,
                )
            )
        )
        return made


def _read_gift() -> int | CreditGift | PercentGift | None:
    """What the form at hand says that a coupon gives: days, money or a percentage; None when it is
    nothing of the kind."""
    kind = request.form.get("gift", Gift.DAYS.value)
    if kind == Gift.CREDIT.value:
        amount = parse_decimal(request.form.get("credit", "").strip(), "USDT")
        return CreditGift(amount, "USDT") if amount else None
    if kind == Gift.PERCENT.value:
        percent = whole_number("percent", 1, 99)
        return PercentGift(percent) if percent else None
    return whole_number("days", 1, MAX_DAYS)
