"""The shell of the panel: guarded views, lists, dashboard, audit log."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from flask import (
    Flask,
    Response,
    abort,
    current_app,
    flash,
    g,
    redirect,
    request,
    session,
    stream_with_context,
    url_for,
)
from flask_admin import Admin, AdminIndexView, BaseView, expose
from flask_admin.contrib.sqla import ModelView
from flask_admin.contrib.sqla.filters import FilterEqual
from flask_admin.theme import Bootstrap4Theme
from flask_babel.speaklater import LazyString
from flask_wtf.csrf import CSRFProtect
from jinja2 import pass_context
from sqlalchemy import Select, select

from manga_backend.kernel.backoffice.domain import as_cell, csv_lines
from manga_backend.kernel.backoffice.messages import GROUPS, word_of, written
from manga_backend.kernel.backoffice.models import AuditEntry
from manga_backend.kernel.backoffice.permissions import ENTER_PANEL, EXPORT_LISTS, READ_AUDIT
from manga_backend.kernel.backoffice.service import cards, charts, gates, record_audit
from manga_backend.kernel.backoffice.types import Actor, Channel, MenuItem, Person, Section, Visitor
from manga_backend.kit import clock
from manga_backend.kit.db import MAX_ID, Model, db, reading, rollback, transaction
from manga_backend.kit.http import MAX_PAGE, sign_of_life, storable
from manga_backend.kit.i18n import gettext, gettext_lazy, left_to_right
from manga_backend.kit.money import Money, decimal_string
from manga_backend.kit.problems import DomainError, InvalidInput
from manga_backend.kit.ratelimit import client_address
from manga_backend.kit.replica import near_replica

csrf = CSRFProtect()

_PANEL = "backoffice.panel"
CHOSEN_LANGUAGE = "language"
_PAGE_SIZE = "page_size"
PROOF_LASTS = timedelta(minutes=10)
NEWEST = 10
EXPORT_STRETCH = 1000
"""Rows that are read at a time."""
SENT_AT_A_TIME = 100
"""Rows between two signs of life, of an export to somebody with a slow line."""


def visitor() -> Visitor | None:
    """Whoever is signed in to the panel, asked of the database once a request."""
    if "panel_visitor" not in g:
        g.panel_visitor = gates["panel"].current()
    found: Visitor | None = g.panel_visitor
    return found


def current_visitor() -> Visitor:
    """The visitor of a guarded view."""
    found = visitor()
    if found is None:
        abort(401)
    return found


def actor() -> Actor:
    """The visitor, as the audit log names whoever acts."""
    who = current_visitor()
    return Actor(
        key=f"user:{who.user_id}",
        label=who.label,
        channel=Channel.PANEL,
        user_id=who.user_id,
        address=client_address(),
    )


def is_panel(path: str) -> bool:
    """Whether people read this address; below /admin/system is the JSON API."""
    return path == "/admin" or (
        path.startswith("/admin/") and path.partition("/admin/")[2].partition("/")[0] != "system"
    )


def guard_form() -> None:
    """A form needs its CSRF token, and text that can be stored."""
    if request.method == "POST":
        csrf.protect()
        if not all(map(storable, request.form.values())):
            abort(400)


class PanelView(BaseView):
    """A view for visitors who hold `permission`; every POST needs its CSRF token.

    `group` is where it stands in the menu (messages.GROUPS), the lowest `place` first.
    """

    permission = ENTER_PANEL
    group = ""
    place = 50

    def is_accessible(self) -> bool:
        found = visitor()
        return found is not None and found.can(ENTER_PANEL) and found.can(self.permission)

    def is_visible(self) -> bool:
        return bool(self.is_accessible())

    def inaccessible_callback(self, name: str, **kwargs: Any) -> Any:
        if visitor() is None:
            here = request.full_path if request.method == "GET" else _came_from()
            return redirect(url_for("panel_door.sign_in", next=here))
        abort(403)

    def _handle_view(self, name: str, **kwargs: Any) -> Any:
        guard_form()
        return super()._handle_view(name, **kwargs)


def _read(kind: type[Any], text: str) -> Any:
    """What an address says, as a column of this kind takes it; ValueError if it can't."""
    if "\x00" in text or (kind is int and abs(int(text)) > MAX_ID):
        raise ValueError(text)
    if kind is bool:
        return text == "1"
    return text if issubclass(kind, str) else kind(text)


class EqualTo(FilterEqual):
    """One exact value of a column; nothing typed filters nothing.

    Flask-Admin's own filters take the names of enum members, the database and people the values.
    """

    def __init__(self, column: Any, name: str) -> None:
        kinds = getattr(column.type, "enums", None)
        choices: Any = [(kind, LazyString(word_of, kind)) for kind in kinds or ()] or None
        if column.type.python_type is bool:
            choices = [("1", gettext_lazy("Yes")), ("0", gettext_lazy("No"))]
        super().__init__(column, name, options=choices)

    def clean(self, value: str) -> Any:
        return value and _read(self.column.type.python_type, value)

    def apply(self, query: Any, value: Any, alias: Any = None) -> Any:
        return query if value == "" else super().apply(query, value, alias)


class ListView(PanelView, ModelView):
    """A read-only list of one table; what may be done is an action that calls a service.

    `money_columns` are amounts in minor units of the row's `currency`; `writers` write a column in
    another way than `written` does; `user_columns` stand on a user's page, of the rows that
    `of_user` finds: those whose `user_column` it is; `exact` says how a whole hash or the like is
    stored, so that it is looked up and not searched for.
    """

    can_create = False
    can_edit = False
    can_delete = False
    can_view_details = True
    can_export = False  # Flask-Admin's reads all rows into memory and lets formulas through
    page_size = 50
    can_set_page_size = True
    page_size_options = (20, 50, 100)
    named_filter_urls = True
    column_display_actions = True
    column_display_pk = False
    simple_list_pager = False
    list_template = "backoffice/list.html"
    details_template = "backoffice/details.html"
    money_columns: tuple[str, ...] = ()
    writers: Mapping[str, Callable[[Any], Any]] = {}
    user_columns: tuple[str, ...] = ()
    user_column = "user_id"
    exact: Mapping[str, Callable[[str], str | None]] = {}

    def __init__(self, model: type[Model], name: str, endpoint: str, **kwargs: Any) -> None:
        url = endpoint.removeprefix("panel_").replace("_", "-")
        super().__init__(model, db, name=name, endpoint=endpoint, url=url, **kwargs)

    def get_one(self, id: str) -> Any:
        """The row with this key; None for what can't be a key."""
        (key,) = self.model.__table__.primary_key.columns
        try:
            return db.session.get(self.model, _read(key.type.python_type, id))
        except ValueError:
            return None

    def get_list(self, page: int | None, *args: Any, **kwargs: Any) -> Any:
        return super().get_list(min(page or 0, MAX_PAGE), *args, **kwargs)

    def get_safe_page_size(self, page_size: int | None) -> int:
        """Without one in the address the one that was chosen last, on whatever list."""
        chosen = page_size or session.get(_PAGE_SIZE)
        return int(chosen) if chosen in self.page_size_options else self.page_size

    def _get_list_extra_args(self) -> Any:
        asked = super()._get_list_extra_args()
        if asked.page_size in self.page_size_options:
            session[_PAGE_SIZE] = asked.page_size
        return asked

    def of_user(self, user: Person) -> Select[Any]:
        """The rows that are about a user."""
        return select(self.model).where(getattr(self.model, self.user_column) == user.id)

    def section(self, user: Person) -> Section:
        """The newest of them, as this list writes them."""
        (key,) = self.model.__table__.primary_key.columns
        found = db.session.scalars(self.of_user(user).order_by(key.desc()).limit(NEWEST))
        return Section(
            title=str(self.name),
            heads=[str(self.get_column_name(name)) for name in self.user_columns],
            rows=[[self.written(row, name) for name in self.user_columns] for row in found],
            url=self._url_of(user),
        )

    def _url_of(self, user: Person) -> str | None:
        """All rows of a user, if the list can be narrowed to them."""
        wanted = self.user_filters(user)
        names = list(self.column_filters or ())
        if not wanted.keys() <= set(names):
            return None
        values: dict[str, Any] = {}
        for name, value in wanted.items():
            at = names.index(name)
            values[f"flt{at}_{self.get_filter_arg(at, self._filters[at])}"] = value
        return url_for(f"{self.endpoint}.index_view", **values)

    def user_filters(self, user: Person) -> dict[str, Any]:
        """The filters that leave a user's rows."""
        return {self.user_column: user.id}

    def scaffold_filters(self, name: str) -> list[EqualTo]:
        return [EqualTo(getattr(self.model, name), name)]

    def _apply_search(self, query: Any, counted: Any, joins: Any, more: Any, text: str) -> Any:
        for name, stored_form in self.exact.items():
            if (stored := stored_form(text)) is not None:
                same = getattr(self.model, name) == stored
                return query.filter(same), counted.filter(same), joins, more
        return super()._apply_search(query, counted, joins, more, text)

    @pass_context
    def get_list_value(self, _context: Any, row: Any, name: str) -> Any:
        return self.written(row, name)

    get_detail_value = get_list_value

    def written(self, row: Any, name: str) -> Any:
        """A cell as people read it: times as the reader says them, codes left to right, users as
        links, nothing as a dash."""
        if name in self.writers:
            return self.writers[name](row)
        value = getattr(row, name)
        if value is None or value == "":
            return "—"
        if name in self.money_columns:
            return left_to_right(Money(value, row.currency).with_currency)
        return written(name, value)

    def exported(self, row: Any, name: str) -> str:
        """A cell as machines read it: ISO 8601 in UTC, decimal numbers, stored words."""
        value = getattr(row, name)
        if name in self.money_columns and value is not None:
            return decimal_string(value, row.currency)
        return as_cell(value)

    @expose("/csv", methods=("POST",))
    def csv(self) -> Any:
        """All rows that the filters let through, however many: read and sent in stretches."""
        require_right(EXPORT_LISTS)
        asked = self._get_list_extra_args()
        sorted_by = self._get_column_by_idx(asked.sort)
        _, query = self.get_list(
            *(0, sorted_by[0] if sorted_by else None, asked.sort_desc, asked.search, asked.filters),
            execute=False,
            page_size=False,
        )
        what = {"search": asked.search, "filters": [list(one) for one in asked.filters or ()]}
        record_audit(actor(), "list.exported", "list", self.endpoint, after=what)
        names = list(dict.fromkeys((*self.column_list, *(self.column_details_list or ()))))
        heads = [str(self.get_column_name(name)) for name in names]
        lines = csv_lines(heads, self._exported_rows(query, names), SENT_AT_A_TIME)
        file = f"{self.url.rsplit('/', 1)[-1]}-{clock.now():%Y%m%d-%H%M}.csv"
        headers = {"Content-Disposition": f'attachment; filename="{file}"'}
        return Response(stream_with_context(lines), 200, headers, "text/csv")

    def _exported_rows(self, query: Any, names: list[str]) -> Iterator[list[str]]:
        """After the request's own transaction has ended: one of its own, which only reads."""
        with near_replica(), reading(), transaction() as current:
            rows = query.with_session(current).yield_per(EXPORT_STRETCH)
            for number, row in enumerate(rows):
                if number % SENT_AT_A_TIME == 0:
                    sign_of_life()
                yield [self.exported(row, name) for name in names]

    def render(self, template: str, **kwargs: Any) -> Any:
        """Headings in the reader's language: Flask-Admin keeps those of the start."""
        for columns in kwargs.keys() & {"list_columns", "details_columns"}:
            kwargs[columns] = [(name, self.get_column_name(name)) for name, _ in kwargs[columns]]
        kwargs["searched"] = [self.get_column_name(n) for n in self.column_searchable_list or ()]
        kwargs["filters"] = None  # its form needs scripts that our policy refuses
        kwargs["may_export"] = current_visitor().can(EXPORT_LISTS)
        return super().render(template, **kwargs)


def tell(words: str, category: str = "success") -> None:
    """A line on top of the next page."""
    flash(words, category)


def require_right(permission: str) -> None:
    """Refuse a visitor who may see the view but not do this."""
    if not current_visitor().can(permission):
        abort(403)


def require_proof(permission: str) -> None:
    """The right, and that the visitor showed within PROOF_LASTS who it is; otherwise the visitor is
    asked, and has to press again."""
    require_right(permission)
    if clock.now() - current_visitor().proven_at <= PROOF_LASTS:
        return
    tell(gettext("Please confirm that it is you, then do it again."), "message")
    abort(redirect(url_for("panel_door.confirm", next=_came_from())))


def _came_from() -> str:
    """The page whose form was sent."""
    referrer = urlsplit(request.referrer or "")
    return safe_target(f"{referrer.path}?{referrer.query}" if referrer.query else referrer.path)


def safe_target(target: str | None) -> str:
    """Only back into the panel: never to another site (open redirect)."""
    if target and target.startswith("/admin/") and "\\" not in target and "//" not in target:
        return target
    return url_for("panel.index")


def act(command: Callable[[], object]) -> bool:
    """Run one command of a button; the next page says how it went. False when it was refused.

    The refusal rolls back what the command had begun.
    """
    try:
        command()
    except DomainError as refusal:
        rollback()
        fields = refusal.errors if isinstance(refusal, InvalidInput) else None
        words = " ".join(words for field in (fields or {}).values() for words in field)
        tell(words or refusal.message(), "error")
        return False
    tell(gettext("Done."))
    return True


class Dashboard(PanelView, AdminIndexView):
    """The first page: the numbers an owner asks for, each a link to its list."""

    @expose("/")
    def index(self) -> Any:
        open_to_visitor = {view.endpoint for view in self.admin._views if view.is_accessible()}
        numbers = [
            card
            if card.endpoint is None or card.endpoint.partition(".")[0] in open_to_visitor
            else replace(card, endpoint=None)
            for permission, source in cards.items()
            if current_visitor().can(permission)
            for card in source()
        ]
        drawn = [
            chart
            for permission, source in charts.items()
            if current_visitor().can(permission)
            for chart in source()
            if chart.endpoint.partition(".")[0] in open_to_visitor
        ]
        return self.render("backoffice/dashboard.html", cards=numbers, charts=drawn)


class AuditView(ListView):
    """Who did what: read-only."""

    permission = READ_AUDIT
    group = "system"
    user_columns = ("at", "actor_label", "action", "after")
    column_list = ("at", "actor_label", "channel", "action", "subject_type", "subject_id")
    column_details_list = (
        *("id", "at", "actor", "actor_label", "channel", "address", "action"),
        *("subject_type", "subject_id", "before", "after", "previous_hash", "hash"),
    )
    column_default_sort = ("id", True)
    column_sortable_list = ("at",)
    column_filters = ("channel", "action", "subject_type", "subject_id")
    column_searchable_list = ("action", "actor", "actor_label", "subject_id")

    def of_user(self, user: Person) -> Select[Any]:
        """What was done to the account."""
        return select(AuditEntry).where(
            AuditEntry.subject_type == "user", AuditEntry.subject_id == str(user.public_id)
        )

    def user_filters(self, user: Person) -> dict[str, Any]:
        return {"subject_type": "user", "subject_id": str(user.public_id)}

    @property
    def column_labels(self) -> dict[str, str]:
        """Headings in the reader's language."""
        return {
            "at": gettext("When"),
            "id": gettext("Number"),
            "actor": gettext("Account"),
            "actor_label": gettext("Who"),
            "channel": gettext("Channel"),
            "action": gettext("Action"),
            "subject_type": gettext("About"),
            "subject_id": gettext("ID"),
            "address": gettext("IP address"),
            "before": gettext("Before"),
            "after": gettext("After"),
            "previous_hash": gettext("Previous hash"),
            "hash": gettext("Hash"),
        }


def nonce() -> str:
    """This answer's CSP nonce."""
    if "csp_nonce" not in g:
        g.csp_nonce = secrets.token_urlsafe(16)
    return str(g.csp_nonce)


def open_panel(app: Flask) -> Admin:
    """The Flask-Admin instance with its dashboard."""
    panel = Admin(
        app,
        name="Two Manga",
        theme=Bootstrap4Theme(base_template="backoffice/base.html", fluid=True),
        index_view=Dashboard(name=gettext_lazy("Dashboard"), endpoint="panel", url="/admin"),
        csp_nonce_generator=nonce,
    )
    app.extensions[_PANEL] = panel
    return panel


def add_view(app: Flask, view: BaseView) -> None:
    """Hang a package's view into the panel's menu."""
    app.extensions[_PANEL].add_view(view)


def sections_about(user: Person) -> list[Section]:
    """All that this visitor may see about a user, list by list."""
    return [
        view.section(user)
        for view in current_app.extensions[_PANEL]._views
        if isinstance(view, ListView) and view.user_columns and view.is_accessible()
    ]


def menu(current: BaseView | None) -> list[tuple[str, list[MenuItem]]]:
    """What this visitor may open, by group; what stands outside of groups has no title."""
    by_group: dict[str, list[MenuItem]] = {"": [], **{group: [] for group in GROUPS}}
    views = current_app.extensions[_PANEL]._views
    for view in sorted(views, key=lambda view: getattr(view, "place", 0)):
        if view.is_accessible() and view.is_visible():
            item = MenuItem(
                str(view.name), url_for(f"{view.endpoint}.{view._default_view}"), view is current
            )
            by_group[view.group].append(item)
    return [
        (gettext(GROUPS[group]) if group else "", items)
        for group, items in by_group.items()
        if items
    ]
