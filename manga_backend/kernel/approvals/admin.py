"""The desk: undecided questions with all that the Telegram message shows."""

from __future__ import annotations

import hashlib
import uuid
from typing import Any

from flask import abort, jsonify, redirect, request, url_for
from flask_admin import expose

from manga_backend.kernel.approvals import queries
from manga_backend.kernel.approvals.models import Approval
from manga_backend.kernel.approvals.permissions import DECIDE, READ_DESK
from manga_backend.kernel.approvals.service import asking, deciding
from manga_backend.kernel.approvals.types import Decision
from manga_backend.kernel.backoffice.admin import (
    PanelView,
    act,
    actor,
    current_visitor,
    require_right,
    tell,
)
from manga_backend.kernel.backoffice.types import Actor, Card
from manga_backend.kit.db import in_transaction
from manga_backend.kit.i18n import gettext, local_digits
from manga_backend.kit.problems import DomainError

MAX_REASON = 500


class DeskView(PanelView):
    """Approve, or reject with a reason; the same command as the Telegram buttons."""

    permission = READ_DESK

    @expose("/")
    def index(self) -> Any:
        pending = queries.list_pending(kinds=asking.known_kinds())
        seen = asking.look_at(pending)
        waiting = [(approval, seen[approval.id]()) for approval in pending]
        return self.render(
            "backoffice/desk.html",
            waiting=waiting,
            total=queries.count_pending(),
            state=_state(pending),
            may_decide=current_visitor().can(DECIDE),
        )

    @expose("/state")
    def state(self) -> Any:
        """Changes whenever what waits does: the page asks for it and shows itself anew."""
        return jsonify(state=_state(queries.list_pending(kinds=asking.known_kinds())))

    @expose("/clear", methods=("POST",))
    def approve_clear(self) -> Any:
        """All that was shown and that nothing speaks against."""
        require_right(DECIDE)
        try:
            shown = [uuid.UUID(text) for text in request.form.getlist("shown")[: queries.DESK_SIZE]]
        except ValueError:
            abort(400)
        who = actor()
        done = sum(self._approve(approval_id, who) for approval_id in shown)
        tell(gettext("Approved: %(count)s.", count=local_digits(str(done))))
        return redirect(url_for(".index"))

    @staticmethod
    def _approve(approval_id: uuid.UUID, who: Actor) -> bool:
        """In a transaction of its own: what one refuses, or clashes with, is no other's concern."""
        try:
            return in_transaction(lambda: deciding.approve_if_clear(approval_id, who))
        except DomainError:
            return False

    @expose("/<uuid:approval_id>", methods=("POST",))
    def decide(self, approval_id: uuid.UUID) -> Any:
        require_right(DECIDE)
        try:
            decision = Decision(request.form.get("decision", ""))
        except ValueError:
            abort(400)
        reason = request.form.get("reason", "").strip()[:MAX_REASON] or None
        option = request.form.get("option") or None
        act(lambda: deciding.decide(approval_id, decision, actor(), reason, option=option))
        return redirect(url_for(".index"))


def _state(pending: list[Approval]) -> str:
    waiting = [f"{approval.id.hex}{approval.changed_at}" for approval in pending]
    return hashlib.sha256(",".join(waiting).encode()).hexdigest()[:16]


def cards() -> list[Card]:
    """How many questions wait."""
    waiting = queries.count_pending()
    number = local_digits(str(waiting))
    return [Card(gettext("Waiting at the desk"), number, "panel_desk.index", urgent=waiting > 0)]
