"""Receiving addresses and sources by network."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import timedelta

from manga_backend.kernel.money.chains.domain import is_address
from manga_backend.kernel.money.chains.types import Chain, Network
from manga_backend.kit.settings import CoreSettings, Env

TOKENS: dict[Network, tuple[str, int]] = {
    Network.TRON: ("TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6t", 6),
    Network.ETHEREUM: ("0xdac17f958d2ee523a2206206994597c13d831ec7", 6),
    Network.BSC: ("0x55d398326f99059ff775485246999027b3197955", 18),
    Network.POLYGON: ("0xc2132d05d31c914a87c6611c10748aeb04b58e8f", 6),
    Network.TON: ("0:b113a994b5024a16719f69139328eb759596c38a25f59028b146fecdc3621dfe", 6),
}
"""USDT's contract and decimals (facts.md iv). Look-alikes have other addresses."""

CONFIRMATIONS = {
    Network.TRON: 19,
    Network.ETHEREUM: 12,
    Network.BSC: 15,
    Network.POLYGON: 128,
    Network.TON: 1,
    Network.BITCOIN: 2,
}


@dataclass(frozen=True)
class ChainSettings:
    """`addresses`: our receiving address on each network that has one in the environment;
    `readable`: the networks that have a source. Where we are paid now says chains/queries.py."""

    default_network: Network
    addresses: dict[Network, str]
    readable: dict[Network, Chain] = field(default_factory=dict)
    hash_max_age: timedelta = timedelta(hours=24)


def load(env: Env, _core: CoreSettings) -> ChainSettings:
    """DEFAULT_NETWORK, HASH_MAX_AGE and <NETWORK>_* of kernel.md §9."""
    default = env.choice("DEFAULT_NETWORK", [n.value for n in Network], Network.TRON.value)
    addresses = {n: address for n in Network if (address := _address(env, n))}
    readable = {n: chain for n in Network if (chain := _chain(env, n, addresses.get(n, "")))}
    return ChainSettings(
        default_network=Network(default) if default in set(Network) else Network.TRON,
        addresses=addresses,
        readable=readable,
        hash_max_age=timedelta(seconds=env.number("HASH_MAX_AGE", 86_400, least=60)),
    )


def _address(env: Env, network: Network) -> str:
    name = f"{network.value.upper()}_ADDRESS"
    address = env.str(name, "") or ""
    if address and not is_address(network, address):
        env.complain(name, f"is not an address of {network.value}")
    return address


def _chain(env: Env, network: Network, address: str) -> Chain | None:
    prefix = network.value.upper()
    sources = tuple(source.rstrip("/") for source in env.names(f"{prefix}_RPC_URL"))
    for source in sources:
        if not re.fullmatch(r"https?://[^\s,]+", source):
            env.complain(
                f"{prefix}_RPC_URL", "must be one or more addresses like https://host/path"
            )
    token, decimals = TOKENS.get(network, ("", 8))
    if network in TOKENS:
        token = env.str(f"{prefix}_USDT", "") or token
        decimals = env.number(f"{prefix}_USDT_DECIMALS", decimals, most=36)
    needed = env.number(f"{prefix}_CONFIRMATIONS", CONFIRMATIONS[network], most=100_000)
    api_key = env.str(f"{prefix}_API_KEY", "") or ""
    if not sources:
        return None
    return Chain(network, address, sources, token, decimals, needed, api_key)
