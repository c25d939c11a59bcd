"""Scheduled work in the panel."""

from __future__ import annotations

from manga_backend.kernel.backoffice.admin import ListView
from manga_backend.kernel.operations.permissions import READ_RUNS
from manga_backend.kit.i18n import gettext


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
