"""Changing where we are paid."""

from __future__ import annotations

from manga_backend.kernel.approvals.service.asking import notify_admins
from manga_backend.kernel.backoffice.service import record_audit
from manga_backend.kernel.backoffice.types import Actor
from manga_backend.kernel.money.chains import queries
from manga_backend.kernel.money.chains.domain import is_address, normalised
from manga_backend.kernel.money.chains.messages import ADDRESS_CHANGED
from manga_backend.kernel.money.chains.models import ReceivingAddress
from manga_backend.kernel.money.chains.types import Network
from manga_backend.kit import clock
from manga_backend.kit.db import insert_or, serialize_on, session
from manga_backend.kit.i18n import gettext
from manga_backend.kit.problems import InvalidInput

KIND = "address_changed"


def check_address(network: Network, text: str) -> None:
    """InvalidInput (address) for what is no address of the network."""
    if not is_address(network, text):
        words = gettext("This is not an address of %(network)s.", network=network.value)
        raise InvalidInput({"address": [words]})


def read_hash(network: Network, typed: str) -> str:
    """A transaction hash as it is stored. InvalidInput (tx_hash) for a wrong shape."""
    stored = normalised(network, typed)
    if stored is None:
        words = gettext("This is not a transaction hash of %(network)s.", network=network.value)
        raise InvalidInput({"tx_hash": [words]})
    return stored


def set_address(network: Network, typed: str, actor: Actor) -> bool:
    """Take payments of a network at this address from now on; empty: take none. False when it is
    the address already.

    InvalidInput for what has not the shape of an address. Every admin and the log channel are told,
    and the audit log has both. What was promised to the address before is still watched there.
    """
    address = typed.strip()
    if address:
        check_address(network, address)
    serialize_on("receiving_addresses")
    before = queries.addresses().get(network, "")
    if before == address:
        return False
    values = {
        "address": address,
        "changed_at": clock.now(),
        "changed_by": actor.key,
        "changed_by_label": actor.label,
    }
    session().execute(
        insert_or(ReceivingAddress)
        .values(network=network, **values)
        .on_conflict_do_update(index_elements=[ReceivingAddress.network], set_=values)
    )
    record_audit(
        actor,
        "address.changed",
        "receiving_address",
        network.value,
        before={"address": before},
        after={"address": address},
    )
    facts = {"network": network.value, "before": before, "after": address, "who": actor.label}
    notify_admins(ADDRESS_CHANGED, KIND, **facts)
    return True
