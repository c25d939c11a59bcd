"""The shell of the panel: guarded views, sign-in, dashboard, audit log."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable
from dataclasses import replace
from typing import Any

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
    url_for,
)
from flask_admin import Admin, AdminIndexView, BaseView, expose
from flask_admin.contrib.sqla import ModelView
from flask_admin.contrib.sqla.filters import FilterEqual
from flask_admin.theme import Bootstrap4Theme
from flask_limiter import Limiter
from flask_wtf.csrf import CSRFProtect
from markupsafe import Markup

from manga_backend.kernel.backoffice.permissions import ENTER_PANEL, READ_AUDIT
from manga_backend.kernel.backoffice.service import cards, gates
from manga_backend.kernel.backoffice.types import Actor, Channel, Visitor
from manga_backend.kit.db import MAX_ID, Model, db, rollback
from manga_backend.kit.http import MAX_PAGE, storable
from manga_backend.kit.i18n import (
    LANGUAGES_BY_CODE,
    gettext,
    gettext_lazy,
    left_to_right,
    local_time,
)
from manga_backend.kit.problems import DomainError, InvalidInput, request_id
from manga_backend.kit.ratelimit import client_address, limit_of, limiter

csrf = CSRFProtect()

_PANEL = "backoffice.panel"
CHOSEN_LANGUAGE = "language"


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
    """A view for visitors who hold `permission`; every POST needs its CSRF token."""

    permission = ENTER_PANEL

    def is_accessible(self) -> bool:
        found = visitor()
        return found is not None and found.can(ENTER_PANEL) and found.can(self.permission)

    def is_visible(self) -> bool:
        return bool(self.is_accessible())

    def inaccessible_callback(self, name: str, **kwargs: Any) -> Any:
        if visitor() is None:
            return redirect(url_for("panel_door.sign_in", next=request.full_path))
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
        choices = [(kind, kind) for kind in kinds] if kinds else None
        if column.type.python_type is bool:
            choices = [("1", gettext_lazy("Yes")), ("0", gettext_lazy("No"))]
        super().__init__(column, name, options=choices)

    def clean(self, value: str) -> Any:
        return value and _read(self.column.type.python_type, value)

    def apply(self, query: Any, value: Any, alias: Any = None) -> Any:
        return query if value == "" else super().apply(query, value, alias)


class ListView(PanelView, ModelView):
    """A read-only list of one table; what may be done is an action that calls a service."""

    can_create = False
    can_edit = False
    can_delete = False
    can_view_details = True
    can_export = False
    page_size = 50
    can_set_page_size = True
    page_size_options = (20, 50, 100)
    named_filter_urls = True
    column_display_actions = True
    column_display_pk = False
    simple_list_pager = False
    list_template = "backoffice/list.html"
    details_template = "backoffice/details.html"

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

    def scaffold_filters(self, name: str) -> list[EqualTo]:
        return [EqualTo(getattr(self.model, name), name)]

    def render(self, template: str, **kwargs: Any) -> Any:
        """Headings in the reader's language: Flask-Admin keeps those of the start."""
        for columns in kwargs.keys() & {"list_columns", "details_columns"}:
            kwargs[columns] = [(name, self.get_column_name(name)) for name, _ in kwargs[columns]]
        kwargs["searched"] = [self.get_column_name(n) for n in self.column_searchable_list or ()]
        kwargs["filters"] = None  # its form needs scripts that our policy refuses
        return super().render(template, **kwargs)


def written(_view: Any, _context: Any, row: Any, name: str) -> Any:
    """Times as the reader says them, codes left to right, users as links, nothing as a dash."""
    value = getattr(row, name)
    if value is None or value == "":
        return "—"
    if name == "user_id":
        page = url_for("panel_users.details_view", id=value)
        return Markup('<a href="{}">{}</a>').format(page, value)
    if hasattr(value, "astimezone"):
        return local_time(value)
    if isinstance(value, bool):
        return gettext("Yes") if value else gettext("No")
    if isinstance(value, dict):
        text = json.dumps(value, ensure_ascii=False, indent=2)
        return Markup('<pre dir="ltr">{}</pre>').format(text)
    return left_to_right(getattr(value, "value", value))


def tell(words: str, category: str = "success") -> None:
    """A line on top of the next page."""
    flash(words, category)


def require_right(permission: str) -> None:
    """Refuse a visitor who may see the view but not do this."""
    if not current_visitor().can(permission):
        abort(403)


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
        return self.render("backoffice/dashboard.html", cards=numbers)


class Door(BaseView):
    """Sign-in, sign-out and the language; the only panel pages that strangers may open."""

    def is_visible(self) -> bool:
        return False

    def _handle_view(self, name: str, **kwargs: Any) -> Any:
        guard_form()
        return super()._handle_view(name, **kwargs)

    @expose("/", methods=("GET", "POST"))
    def sign_in(self) -> Any:
        refused = None
        if request.method == "POST":
            name = request.form.get("username", "")
            _throttle(limiter, name)
            try:
                gates["panel"].sign_in(name, request.form.get("password", ""))
                return redirect(_safe_target(request.args.get("next")))
            except DomainError as refusal:
                if refusal.status == 429:
                    raise
                refused = refusal.message()
        page = self.render("backoffice/sign_in.html", refused=refused)
        return page if refused is None else Response(page, 401)

    @expose("/out", methods=("POST",))
    def sign_out(self) -> Any:
        gates["panel"].sign_out()
        return redirect(url_for("panel_door.sign_in"))

    @expose("/language", methods=("POST",))
    def language(self) -> Any:
        chosen = request.form.get("language", "")
        if chosen in LANGUAGES_BY_CODE:
            session[CHOSEN_LANGUAGE] = chosen
            session.permanent = True
        return redirect(_safe_target(request.form.get("next")))


def _throttle(guard: Limiter, name: str) -> None:
    with (
        guard.limit(limit_of("login"), key_func=lambda: f"panel:{client_address()}"),
        guard.limit(limit_of("login_name"), key_func=lambda: f"panel:{name.lower()[:64]}"),
    ):
        pass


def _safe_target(target: str | None) -> str:
    """Only back into the panel: never to another site (open redirect)."""
    if target and target.startswith("/admin/") and "\\" not in target and "//" not in target:
        return target
    return url_for("panel.index")


class AuditView(ListView):
    """Who did what: read-only."""

    permission = READ_AUDIT
    column_list = ("at", "actor_label", "channel", "action", "subject_type", "subject_id")
    column_details_list = (
        *("id", "at", "actor", "actor_label", "channel", "address", "action"),
        *("subject_type", "subject_id", "before", "after", "previous_hash", "hash"),
    )
    column_default_sort = ("id", True)
    column_sortable_list = ("at",)
    column_searchable_list = ("action", "actor", "actor_label", "subject_id")
    column_formatters = dict.fromkeys(column_details_list, written)
    column_formatters_detail = column_formatters

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
    """The Flask-Admin instance with its dashboard and door."""
    panel = Admin(
        app,
        name="Two Manga",
        theme=Bootstrap4Theme(base_template="backoffice/base.html", fluid=True),
        index_view=Dashboard(name=gettext_lazy("Dashboard"), endpoint="panel", url="/admin"),
        csp_nonce_generator=nonce,
    )
    panel.add_view(Door(name="Door", endpoint="panel_door", url="/admin/sign-in"))
    app.extensions[_PANEL] = panel
    return panel


def add_view(app: Flask, view: BaseView) -> None:
    """Hang a package's view into the panel's menu."""
    app.extensions[_PANEL].add_view(view)


def problem_page(status: int, detail: str) -> Response | None:
    """Refusals as a page inside the panel, except for its JSON API below /admin/system."""
    if not is_panel(request.path):
        return None
    template = current_app.jinja_env.get_template("backoffice/problem.html")
    html = template.render(status=status, detail=detail, request_id=request_id())
    return Response(html, status, mimetype="text/html")
