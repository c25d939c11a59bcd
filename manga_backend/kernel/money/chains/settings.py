"""Receiving addresses by network."""

from __future__ import annotations

from dataclasses import dataclass

from manga_backend.kernel.money.chains.types import Network
from manga_backend.kit.settings import CoreSettings, Env


@dataclass(frozen=True)
class ChainSettings:
    """`addresses`: our receiving address on each network that has one."""

    default_network: Network
    addresses: dict[Network, str]


def load(env: Env, _core: CoreSettings) -> ChainSettings:
    """DEFAULT_NETWORK and <NETWORK>_ADDRESS of kernel.md §9."""
    default = env.choice("DEFAULT_NETWORK", [n.value for n in Network], Network.TRON.value)
    addresses = {n: env.str(f"{n.value.upper()}_ADDRESS", "") or "" for n in Network}
    return ChainSettings(
        default_network=Network(default) if default in set(Network) else Network.TRON,
        addresses={network: address for network, address in addresses.items() if address},
    )
