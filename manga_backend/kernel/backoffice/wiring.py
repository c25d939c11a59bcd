"""Plugs the panel in."""

from __future__ import annotations

from flask import Flask, Request, Response, current_app, request, session
from flask.sessions import SecureCookieSession, SecureCookieSessionInterface

from manga_backend.kernel.backoffice import admin, cli, permissions
from manga_backend.kernel.backoffice.messages import word_of
from manga_backend.kernel.backoffice.models import AuditEntry
from manga_backend.kit.app import App
from manga_backend.kit.i18n import gettext_lazy, set_caller_language, supported
from manga_backend.kit.principal import grants, mark_view
from manga_backend.kit.problems import PROBLEM_PAGE, request_id
from manga_backend.kit.settings import CoreSettings, settings

CONTENT_POLICY = (
    "default-src 'self'; script-src 'self' 'nonce-{nonce}'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'"
)


class PanelSessions(SecureCookieSessionInterface):
    """Only the panel has a cookie; it is Secure whenever the panel is read through TLS."""

    def open_session(self, app: Flask, request: Request) -> SecureCookieSession | None:
        """None for the API: nothing is read, signed or sent there."""
        return super().open_session(app, request) if admin.is_panel(request.path) else None

    def get_cookie_secure(self, app: object) -> bool:
        return request.is_secure


def init_app(app: App) -> None:
    """Called once by create_app(), before the packages that add views."""
    app.config.update(
        SESSION_COOKIE_NAME="panel",
        SESSION_COOKIE_PATH="/admin",
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        WTF_CSRF_CHECK_DEFAULT=False,  # PanelView checks; the JSON API has no cookies
        WTF_CSRF_TIME_LIMIT=None,
    )
    app.session_interface = PanelSessions()
    admin.csrf.init_app(app)
    app.extensions[PROBLEM_PAGE] = _problem_page
    grants.register(app, permissions.ENTER_PANEL, "support")
    grants.register(app, permissions.READ_AUDIT, "admin")
    grants.register(app, permissions.EXPORT_LISTS, "admin")
    app.jinja_env.globals.update(
        visitor=admin.visitor,
        csp_nonce=admin.nonce,
        panel_menu=admin.menu,
        word_of=word_of,
    )
    app.before_request(_choose_language)
    app.after_request(_content_policy)
    app.cli.add_command(cli.audit)
    admin.open_panel(app)


def add_closing_views(app: App) -> None:
    """What comes last in the menu, and the marks of every panel route."""
    admin.add_view(app, admin.AuditView(AuditEntry, gettext_lazy("Audit log"), "panel_audit"))
    for endpoint in list(app.view_functions):
        if endpoint.startswith("panel"):
            mark_view(app, endpoint, "panel")


def _choose_language() -> None:
    """What was chosen in the panel, else in the profile, else the default; not the browser's."""
    if admin.is_panel(request.path) and request.endpoint != "panel.static":
        chosen = supported(session.get(admin.CHOSEN_LANGUAGE))
        if chosen is None and (visitor := admin.visitor()) is not None:
            chosen = supported(visitor.language)
        set_caller_language(chosen or settings(CoreSettings).default_language)


def _content_policy(response: Response) -> Response:
    if admin.is_panel(request.path) and response.mimetype == "text/html":
        policy = CONTENT_POLICY.format(nonce=admin.nonce())
        response.headers["Content-Security-Policy"] = policy
    return response


def _problem_page(status: int, detail: str) -> Response | None:
    """Refusals as a page inside the panel, except for its JSON API below /admin/system."""
    if not admin.is_panel(request.path):
        return None
    template = current_app.jinja_env.get_template("backoffice/problem.html")
    html = template.render(status=status, detail=detail, request_id=request_id())
    return Response(html, status, mimetype="text/html")
