"""Where we are paid, and which networks can be read."""

from __future__ import annotations

from dataclasses import replace

from sqlalchemy import select

from manga_backend.kernel.money.chains.models import ReceivingAddress
from manga_backend.kernel.money.chains.settings import ChainSettings
from manga_backend.kernel.money.chains.types import Chain, Network
from manga_backend.kit.db import session
from manga_backend.kit.settings import settings

_CHANGED = select(ReceivingAddress.network, ReceivingAddress.address)


def addresses() -> dict[Network, str]:
    """Our receiving address on each network that has one: the panel's, else the environment's."""
    found = dict(settings(ChainSettings).addresses)
    for network, address in session().execute(_CHANGED):
        found[network] = address
    return {network: address for network, address in found.items() if address}


def list_changed() -> dict[Network, ReceivingAddress]:
    """Those that were set in the panel."""
    return {row.network: row for row in session().scalars(select(ReceivingAddress))}


def chains() -> dict[Network, Chain]:
    """The networks that can be read, with our address of now."""
    readable = settings(ChainSettings).readable
    if not readable:
        return {}
    ours = addresses()
    return {n: replace(chain, address=ours[n]) for n, chain in readable.items() if n in ours}
