"""Broadcasts in the panel: the list, the form, and one broadcast with its progress."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

from flask import Response, abort, jsonify, redirect, request, url_for
from flask_admin import expose
from markupsafe import Markup
from sqlalchemy import func, select

from manga_backend.kernel.backoffice.admin import (
    PanelView,
    act,
    actor,
    current_visitor,
    require_right,
    tell,
)
from manga_backend.kernel.broadcasts import messages, queries
from manga_backend.kernel.broadcasts.models import Broadcast
from manga_backend.kernel.broadcasts.permissions import READ_BROADCASTS, SEND_BROADCASTS
from manga_backend.kernel.broadcasts.service import drafts
from manga_backend.kernel.broadcasts.service.commands import COMMANDS
from manga_backend.kernel.broadcasts.types import Audience, Draft, Report, State
from manga_backend.kernel.memberships.queries import list_plans
from manga_backend.kit.db import rollback, session
from manga_backend.kit.http import MAX_PAGE
from manga_backend.kit.i18n import gettext, local_digits
from manga_backend.kit.problems import InvalidInput
from manga_backend.kit.settings import LANGUAGES

PAGE_SIZE = 50
ON_THE_WAY = (State.RUNNING, State.PAUSED)


def _asked_page() -> int:
    text = request.args.get("page", "1")
    return max(1, min(int(text), MAX_PAGE)) if text.isascii() and text.isdecimal() else 1


class BroadcastsView(PanelView):
    """Whoever may read sees all; writing and sending ask for a right of their own."""

    permission = READ_BROADCASTS
    group = "messages"
    place = 1

    def render(self, template: str, **kwargs: Any) -> Any:
        kwargs["state_names"] = {k: gettext(v) for k, v in messages.STATE_NAMES.items()}
        kwargs["audience_names"] = {k: gettext(v) for k, v in messages.AUDIENCE_NAMES.items()}
        kwargs["may_send"] = current_visitor().can(SEND_BROADCASTS)
        return super().render(template, **kwargs)

    @expose("/")
    def index(self) -> Any:
        page = _asked_page()
        listed = session().scalars(
            queries.newest_first().limit(PAGE_SIZE).offset((page - 1) * PAGE_SIZE)
        )
        rows = [(row, _percent(row)) for row in listed]
        total = session().scalar(select(func.count()).select_from(Broadcast)) or 0
        pages = -(-total // PAGE_SIZE)
        return self.render("backoffice/broadcasts.html", rows=rows, page=page, pages=pages)

    @expose("/new", methods=("GET", "POST"))
    def new(self) -> Any:
        require_right(SEND_BROADCASTS)
        if request.method == "GET":
            return self._form(Draft({}))
        draft, made = _typed(), []
        errors = _try(lambda: made.append(drafts.create_broadcast(draft, actor())))
        if not made:
            return self._form(draft, errors)
        return redirect(url_for(".one", broadcast_id=made[0].id))

    @expose("/<uuid:broadcast_id>/edit", methods=("GET", "POST"))
    def edit(self, broadcast_id: uuid.UUID) -> Any:
        require_right(SEND_BROADCASTS)
        broadcast = queries.get_broadcast(broadcast_id)
        page = url_for(".one", broadcast_id=broadcast_id)
        if broadcast.state is not State.DRAFT:
            return redirect(page)
        if request.method == "GET":
            kept = Draft(broadcast.texts, broadcast.audience, broadcast.product, broadcast.language)
            return self._form(kept)
        draft = _typed()
        changes = {name: getattr(draft, name) for name in Draft.__dataclass_fields__}
        errors = _try(lambda: drafts.edit_broadcast(broadcast_id, changes, actor()))
        return self._form(draft, errors) if errors else redirect(page)

    def _form(self, draft: Draft, errors: dict[str, list[str]] | None = None) -> Any:
        """What was typed stays when it is refused."""
        page = self.render(
            "backoffice/broadcast_form.html",
            draft=draft,
            errors=errors or {},
            audiences=list(Audience),
            products=sorted({plan.product for plan in list_plans()} | {draft.product or ""} - {""}),
        )
        return Response(page, 400) if errors else page

    @expose("/<uuid:broadcast_id>")
    def one(self, broadcast_id: uuid.UUID) -> Any:
        report = queries.report(queries.get_broadcast(broadcast_id))
        shown = {code: Markup(text) for code, text in report.texts.items()}  # noqa: S704  # checked when it was written
        return self.render(
            "backoffice/broadcast.html",
            report=report,
            texts=shown,
            numbers=_numbers(report),
            State=State,
        )

    @expose("/<uuid:broadcast_id>/progress")
    def progress(self, broadcast_id: uuid.UUID) -> Any:
        """What the page's script asks every 2 s."""
        report = queries.report(queries.get_broadcast(broadcast_id))
        shown = {name: number for name, _title, number in _numbers(report)}
        shown["percent"] = local_digits(str(report.percent))
        return jsonify(state=report.state.value, percent=report.percent, shown=shown)

    @expose("/<uuid:broadcast_id>/<deed>", methods=("POST",))
    def do(self, broadcast_id: uuid.UUID, deed: str) -> Any:
        require_right(SEND_BROADCASTS)
        command = COMMANDS.get(deed)
        if command is None:
            abort(404)
        queries.get_broadcast(broadcast_id)
        act(lambda: command(broadcast_id, actor()))
        return redirect(url_for(".one", broadcast_id=broadcast_id))


def _typed() -> Draft:
    """The form at hand; empty fields are left out."""
    form = request.form
    try:
        audience = Audience(form.get("audience", ""))
    except ValueError:
        abort(400)
    written = {code: form.get(f"text_{code}", "").strip() for code in LANGUAGES}
    return Draft(
        texts={code: text for code, text in written.items() if text},
        audience=audience,
        product=form.get("product") or None,
        language=form.get("language") or None,
    )


def _try(command: Callable[[], object]) -> dict[str, list[str]]:
    """Run it; the fields that were refused, to be shown beside them."""
    try:
        command()
    except InvalidInput as refusal:
        rollback()
        return refusal.errors or {}
    tell(gettext("Done."))
    return {}


def _percent(row: Broadcast) -> int | None:
    """Only what is on its way is counted: a page of old ones costs no query each."""
    if row.state in ON_THE_WAY:
        return queries.report(row).percent
    return 100 if row.state is State.FINISHED else None


def _numbers(report: Report) -> list[tuple[str, str, str]]:
    """Name, title and value as the reader writes it."""
    counts = report.counts
    numbers = [
        ("audience", gettext("Audience"), counts.audience),
        ("queued", gettext("Queued"), counts.queued),
        ("sent", gettext("Delivered"), counts.sent),
        ("blocked", gettext("Blocked the bot"), counts.blocked),
        ("failed", gettext("Failed"), counts.failed),
        ("waiting", gettext("Waiting"), counts.waiting),
    ]
    return [(name, title, local_digits(str(number))) for name, title, number in numbers]
