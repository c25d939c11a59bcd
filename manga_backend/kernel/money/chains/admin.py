"""Our addresses in the panel."""

from __future__ import annotations

from typing import Any

from flask import abort, redirect, request, url_for
from flask_admin import expose

from manga_backend.kernel.backoffice.admin import (
    PanelView,
    act,
    actor,
    current_visitor,
    require_proof,
)
from manga_backend.kernel.money.chains import queries
from manga_backend.kernel.money.chains.permissions import CHANGE_ADDRESSES, READ_ADDRESSES
from manga_backend.kernel.money.chains.service import set_address
from manga_backend.kernel.money.chains.types import Network


class AddressesView(PanelView):
    """Where we are paid on each network; only a superuser changes it."""

    permission = READ_ADDRESSES
    group = "sale"

    @expose("/")
    def index(self) -> Any:
        return self.render(
            "backoffice/addresses.html",
            networks=list(Network),
            addresses=queries.addresses(),
            changed=queries.list_changed(),
            readable=queries.chains(),
            may_change=current_visitor().can(CHANGE_ADDRESSES),
        )

    @expose("/<chosen>", methods=("POST",))
    def change(self, chosen: str) -> Any:
        require_proof(CHANGE_ADDRESSES)
        try:
            network = Network(chosen)
        except ValueError:
            abort(404)
        act(lambda: set_address(network, request.form.get("address", ""), actor()))
        return redirect(url_for(".index"))
