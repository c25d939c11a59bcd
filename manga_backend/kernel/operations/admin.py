"""Scheduled work, and settings that may change, in the panel."""

from __future__ import annotations

from typing import Any

from flask import redirect, request, url_for
from flask_admin import expose

from manga_backend.kernel.backoffice.admin import (
    ListView,
    PanelView,
    act,
    actor,
    current_visitor,
    require_proof,
)
from manga_backend.kernel.operations.permissions import CHANGE_SETTINGS, READ_RUNS, READ_SETTINGS
from manga_backend.kernel.operations.queries import list_changed
from manga_backend.kernel.operations.service.changes import change_setting, changeable
from manga_backend.kit.i18n import gettext
from manga_backend.kit.settings import in_force, value_of


class RunsView(ListView):
    """When each schedule last ran, for how long, and what went wrong."""

    permission = READ_RUNS
    group = "system"
    column_list = ("name", "due_at", "started_at", "duration_ms", "error")
    column_default_sort = ("name", False)
    column_sortable_list = ("name", "due_at", "started_at", "duration_ms")
    column_searchable_list = ("name", "error")
    column_details_list = column_list

    @property
    def column_labels(self) -> dict[str, str]:
        """Headings in the reader's language."""
        return {
            "name": gettext("Schedule"),
            "due_at": gettext("Next run"),
            "started_at": gettext("Last run"),
            "duration_ms": gettext("Took, ms"),
            "error": gettext("What went wrong"),
        }


class SettingsView(PanelView):
    """Settings that count from the moment that they are changed."""

    permission = READ_SETTINGS
    group = "system"
    place = 1

    @expose("/")
    def index(self) -> Any:
        changed = list_changed()
        rows = [
            (name, gettext(meaning), changed.get(name), value_of(name), name in in_force())
            for name, meaning in changeable.items()
        ]
        may_change = current_visitor().can(CHANGE_SETTINGS)
        return self.render("backoffice/settings.html", rows=rows, may_change=may_change)

    @expose("/<chosen>", methods=("POST",))
    def change(self, chosen: str) -> Any:
        require_proof(CHANGE_SETTINGS)
        act(lambda: change_setting(chosen, request.form.get("value", "")[:200], actor()))
        return redirect(url_for(".index"))
