"""The panel's gate, and the users in it."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

from flask import Response, abort, redirect, request, session, url_for
from flask_admin import BaseView, expose
from flask_limiter import Limiter

from manga_backend.kernel.backoffice.admin import (
    CHOSEN_LANGUAGE,
    ListView,
    PanelView,
    act,
    actor,
    current_visitor,
    guard_form,
    require_proof,
    require_right,
    safe_target,
    sections_about,
    visitor,
)
from manga_backend.kernel.backoffice.permissions import ENTER_PANEL
from manga_backend.kernel.backoffice.service import record_audit
from manga_backend.kernel.backoffice.types import Actor, Channel, Visitor
from manga_backend.kernel.identity import domain, queries
from manga_backend.kernel.identity.errors import InvalidCredentials, SessionNotFound
from manga_backend.kernel.identity.messages import REACHABILITY_WORDS
from manga_backend.kernel.identity.models import Session, User
from manga_backend.kernel.identity.permissions import (
    BAN_USERS,
    CHANGE_ROLES,
    END_SESSIONS,
    READ_USERS,
)
from manga_backend.kernel.identity.routes import PANEL_SESSION, device
from manga_backend.kernel.identity.service import accounts, second_factor, sessions
from manga_backend.kernel.identity.service.tokens import same_salt
from manga_backend.kernel.identity.types import EndReason, Role, SessionKind
from manga_backend.kernel.telegram.queries import find_reachability
from manga_backend.kit import clock
from manga_backend.kit import db as database
from manga_backend.kit.i18n import LANGUAGES_BY_CODE, gettext
from manga_backend.kit.problems import DomainError
from manga_backend.kit.qr import qr_of
from manga_backend.kit.ratelimit import client_address, limit_of, limiter

USER_ID = f"<int(max={database.MAX_ID}):user_id>"
_SALT = "salt"
_HALF = "half"
_SETTING_UP = "setting_up"
HALF_LIVES_SECONDS = 300
"""How long after the password the code may come."""


class PanelGate:
    """Cookie sessions of the panel; the database is asked on every request."""

    def current(self) -> Visitor | None:
        """The visitor whose cookie names a live panel session with the stored salt."""
        try:
            session_id = uuid.UUID(hex=str(session.get(PANEL_SESSION, "")))
        except ValueError:
            return None
        row = database.read_one(_PANEL_STATEMENT, {"session_id": session_id})
        if (
            row is None
            or row["kind"] is not SessionKind.PANEL
            or row["ended_at"] is not None
            or row["expires_at"] <= clock.now()
            or row["banned_at"] is not None
            or not same_salt(row["salt"], str(session.get(_SALT, "")))
        ):
            return None
        return Visitor(
            user_id=row["user_id"],
            label=row["username"] or "",
            role=row["role"].value,
            permissions=sessions.permissions_of(row["role"]),
            session_id=session_id,
            language=row["language"],
            proven_at=row["proven_at"] or row["created_at"],
        )

    def sign_in(self, username: str, password: str) -> bool:
        """Open a panel session and note it; a refusal is noted as well. False when the code of an
        authenticator is needed first."""
        try:
            user, opened = accounts.sign_in_to_panel(username, password, device())
        except DomainError as refusal:
            who = Actor(f"name:{username[:64]}", username[:64], Channel.PANEL, None, _address())
            record_audit(who, "panel.sign_in_refused", "user", username[:64])
            # The page with the refusal is an ordinary answer, so the note is committed.
            raise InvalidCredentials from refusal
        _forget_all_but_language()
        if opened is None:
            mark = accounts.password_mark(user)
            session[_HALF] = [user.id, clock.now().timestamp(), mark]
            return False
        self._enter(user, opened)
        return True

    def half_signed_in(self) -> int | None:
        """Whose password was right within HALF_LIVES; the cookie is signed."""
        user_id, at, _mark = session.get(_HALF) or (None, 0, "")
        return user_id if clock.now().timestamp() - at < HALF_LIVES_SECONDS else None

    def finish(self, code: str) -> None:
        """Open the session once the code is right too; a refusal is noted."""
        user_id = self.half_signed_in()
        if user_id is None:
            raise InvalidCredentials
        try:
            mark = session[_HALF][2]
            user, opened = accounts.finish_sign_in_to_panel(user_id, mark, code, device())
        except DomainError:
            who = Actor(f"user:{user_id}", "—", Channel.PANEL, user_id, _address())
            record_audit(who, "panel.code_refused", "user", queries.get_user(user_id).public_id)
            raise
        _forget_all_but_language()
        self._enter(user, opened)

    def _enter(self, user: User, opened: Session) -> None:
        session.update({PANEL_SESSION: opened.id.hex, _SALT: opened.salt})
        who = Actor(f"user:{user.id}", user.label, Channel.PANEL, user.id, _address())
        record_audit(who, "panel.signed_in", "user", user.public_id)

    def asks_for_code(self) -> bool:
        """Whether whoever is signed in has an authenticator."""
        return queries.has_second_factor(current_visitor().user_id)

    def prove(self, typed: str) -> None:
        """By the code or the password; a refusal is noted."""
        who = current_visitor()
        try:
            accounts.prove_again(who.user_id, who.session_id, typed)
        except DomainError:
            subject = queries.get_user(who.user_id).public_id
            record_audit(actor(), "panel.proof_refused", "user", subject)
            raise

    def sign_out(self) -> None:
        """End this panel session; without one, nothing happens."""
        visitor = self.current()
        _forget_all_but_language()
        if visitor is not None:
            try:
                sessions.end_session(visitor.user_id, visitor.session_id, EndReason.SIGNED_OUT)
            except SessionNotFound:
                return


_PANEL_STATEMENT = queries.caller_statement().add_columns(
    Session.expires_at, Session.proven_at, Session.created_at
)


def _forget_all_but_language() -> None:
    language = session.get(CHOSEN_LANGUAGE)
    session.clear()
    if language:
        session[CHOSEN_LANGUAGE] = language


def _address() -> str | None:
    return device().address


class Door(BaseView):
    """Sign-in, sign-out and the language; the only panel pages that strangers may open."""

    gate = PanelGate()

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
            target = safe_target(request.args.get("next"))
            try:
                if self.gate.sign_in(name, request.form.get("password", "")):
                    return redirect(target)
                return redirect(url_for(".code", next=target))
            except DomainError as refusal:
                refused = refusal.message()
        page = self.render("backoffice/sign_in.html", refused=refused)
        return page if refused is None else Response(page, 401)

    @expose("/code", methods=("GET", "POST"))
    def code(self) -> Any:
        """The second step, for whoever has an authenticator."""
        user_id = self.gate.half_signed_in()
        if user_id is None:
            return redirect(url_for(".sign_in", next=request.args.get("next")))
        return self._ask(f"#{user_id}", self.gate.finish, asks_for_code=True)

    @expose("/confirm", methods=("GET", "POST"))
    def confirm(self) -> Any:
        """Who holds the session shows again who it is, before what is dangerous."""
        who = visitor()
        if who is None:
            return redirect(url_for(".sign_in"))
        ask_code = self.gate.asks_for_code()
        return self._ask(f"#{who.user_id}", self.gate.prove, asks_for_code=ask_code)

    def _ask(self, name: str, take: Callable[[str], None], *, asks_for_code: bool) -> Any:
        refused = None
        if request.method == "POST":
            _throttle(limiter, name, "proof")
            try:
                take(request.form.get("proof", ""))
                return redirect(safe_target(request.args.get("next")))
            except DomainError as refusal:
                refused = refusal.message()
        page = self.render("backoffice/proof.html", refused=refused, asks_for_code=asks_for_code)
        return page if refused is None else Response(page, 401)

    @expose("/out", methods=("POST",))
    def sign_out(self) -> Any:
        self.gate.sign_out()
        return redirect(url_for("panel_door.sign_in"))

    @expose("/language", methods=("POST",))
    def language(self) -> Any:
        chosen = request.form.get("language", "")
        if chosen in LANGUAGES_BY_CODE:
            session[CHOSEN_LANGUAGE] = chosen
            session.permanent = True
        return redirect(safe_target(request.form.get("next")))


def _throttle(guard: Limiter, name: str, by_name: str = "login_name") -> None:
    with (
        guard.limit(limit_of("login"), key_func=lambda: f"panel:{client_address()}"),
        guard.limit(limit_of(by_name), key_func=lambda: f"panel:{name.lower()[:64]}"),
    ):
        pass


class UsersView(ListView):
    """Accounts: search, and one page with all that may be done to each."""

    permission = READ_USERS
    group = "people"
    place = 1
    column_list = ("username", "first_name", "telegram_id", "role", "created_at", "banned_at")
    column_default_sort = ("id", True)
    column_sortable_list = ("created_at", "banned_at")
    column_searchable_list = (
        *("username_key", "phone", "telegram_id", "telegram_username", "first_name"),
    )
    column_filters = ("role",)
    column_details_list = (
        *("public_id", "username", "role", "language", "telegram_id", "telegram_verified_at"),
        *(
            "first_name",
            "telegram_username",
            "phone",
            "phone_verified_at",
            "created_at",
            "banned_at",
            "ban_reason",
        ),
    )
    details_template = "backoffice/user.html"

    @property
    def column_labels(self) -> dict[str, str]:
        """Headings in the reader's language."""
        return {
            "username": gettext("Username"),
            "username_key": gettext("Username"),
            "public_id": gettext("ID"),
            "first_name": gettext("Name"),
            "telegram_username": gettext("Name on Telegram"),
            "telegram_id": gettext("Telegram ID"),
            "telegram_verified_at": gettext("Telegram verified"),
            "phone": gettext("Phone"),
            "phone_verified_at": gettext("Phone verified"),
            "role": gettext("Role"),
            "language": gettext("Language"),
            "created_at": gettext("Registered"),
            "banned_at": gettext("Banned"),
            "ban_reason": gettext("Ban reason"),
        }

    def render(self, template: str, **kwargs: Any) -> Any:
        user = kwargs.get("model")
        if template == self.details_template and user is not None:
            if user.telegram_id is not None:
                words = REACHABILITY_WORDS[find_reachability(user.telegram_id)]
                kwargs["reachability"] = gettext(words)
            kwargs["sections"] = sections_about(user)
            kwargs["has_second_factor"] = queries.has_second_factor(user.id)
            kwargs["live_sessions"] = queries.list_live_sessions(user.id)
            kwargs["roles"] = [r for r in Role if r.rank <= Role(current_visitor().role).rank]
            kwargs["may"] = {
                "ban": current_visitor().can(BAN_USERS),
                "end_sessions": current_visitor().can(END_SESSIONS),
                "change_role": current_visitor().can(CHANGE_ROLES),
            }
        return super().render(template, **kwargs)

    @expose(f"/ban/{USER_ID}", methods=("POST",))
    def ban(self, user_id: int) -> Any:
        reason = request.form.get("reason", "").strip()[:500] or None
        return self._act(
            user_id, BAN_USERS, lambda role: accounts.ban(user_id, actor(), role, reason)
        )

    @expose(f"/unban/{USER_ID}", methods=("POST",))
    def unban(self, user_id: int) -> Any:
        return self._act(user_id, BAN_USERS, lambda role: accounts.unban(user_id, actor(), role))

    @expose(f"/end-sessions/{USER_ID}", methods=("POST",))
    def end_sessions(self, user_id: int) -> Any:
        return self._act(
            user_id, END_SESSIONS, lambda role: accounts.end_all_sessions(user_id, actor(), role)
        )

    @expose(f"/reset-second-factor/{USER_ID}", methods=("POST",))
    def reset_second_factor(self, user_id: int) -> Any:
        require_proof(CHANGE_ROLES)
        return self._act(
            user_id,
            CHANGE_ROLES,
            lambda role: accounts.reset_second_factor(user_id, actor(), role),
        )

    @expose(f"/role/{USER_ID}", methods=("POST",))
    def role(self, user_id: int) -> Any:
        require_proof(CHANGE_ROLES)
        try:
            chosen = Role(request.form.get("role", ""))
        except ValueError:
            abort(400)
        return self._act(
            user_id,
            CHANGE_ROLES,
            lambda role: accounts.set_role(user_id, chosen, actor(), role),
        )

    def _act(self, user_id: int, permission: str, command: Any) -> Any:
        """Check the right, run the command, tell how it went on the user's page."""
        require_right(permission)
        queries.get_user(user_id)
        act(lambda: command(Role(current_visitor().role)))
        return redirect(url_for(".details_view", id=user_id))


class AccountView(PanelView):
    """What belongs to whoever is signed in: the authenticator and the panel sessions."""

    def is_visible(self) -> bool:
        return False

    @expose("/")
    def index(self, codes: list[str] | None = None) -> Any:
        who = current_visitor()
        secret = None
        if session.get(_SETTING_UP):
            secret = second_factor.find_secret_to_confirm(who.user_id)
        uri = domain.provisioning_uri(secret, who.label, self.admin.name) if secret else None
        return self.render(
            "backoffice/account.html",
            codes=codes,
            has_second_factor=queries.has_second_factor(who.user_id),
            codes_left=queries.count_recovery_codes(who.user_id),
            secret=secret,
            qr=qr_of(uri) if uri else None,
            live_sessions=queries.list_live_sessions(who.user_id),
            this_session=who.session_id,
        )

    @expose("/authenticator", methods=("POST",))
    def set_up(self) -> Any:
        require_proof(ENTER_PANEL)
        if act(lambda: second_factor.begin(current_visitor().user_id)):
            session[_SETTING_UP] = True
        return redirect(url_for(".index"))

    @expose("/authenticator/confirm", methods=("POST",))
    def confirm(self) -> Any:
        require_proof(ENTER_PANEL)
        who = current_visitor()
        _throttle(limiter, f"#{who.user_id}", "proof")
        code = request.form.get("code", "")
        return self._show_codes(
            lambda: second_factor.confirm(who.user_id, code, actor(), who.session_id)
        )

    @expose("/recovery-codes", methods=("POST",))
    def renew_codes(self) -> Any:
        require_proof(ENTER_PANEL)
        who = current_visitor()
        return self._show_codes(lambda: second_factor.renew_recovery_codes(who.user_id, actor()))

    def _show_codes(self, make: Callable[[], list[str]]) -> Any:
        """On this very page, and never again."""
        made: list[str] = []
        if not act(lambda: made.extend(make())):
            return redirect(url_for(".index"))
        session.pop(_SETTING_UP, None)
        return self.index(codes=made)

    @expose("/authenticator/off", methods=("POST",))
    def turn_off(self) -> Any:
        require_proof(ENTER_PANEL)
        act(lambda: second_factor.turn_off(current_visitor().user_id, actor()))
        return redirect(url_for(".index"))

    @expose("/end-session/<uuid:session_id>", methods=("POST",))
    def end_session(self, session_id: uuid.UUID) -> Any:
        who = current_visitor()
        act(lambda: sessions.end_session(who.user_id, session_id, EndReason.SIGNED_OUT))
        return redirect(url_for(".index"))

    @expose("/end-others", methods=("POST",))
    def end_others(self) -> Any:
        who = current_visitor()
        act(lambda: sessions.end_sessions(who.user_id, EndReason.SIGNED_OUT, but=who.session_id))
        return redirect(url_for(".index"))
