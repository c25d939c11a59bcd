"""Transaction hashes: their shape on each network, one stored form, and where to look at them."""

from __future__ import annotations

import base64
import re

from manga_backend.kernel.money.chains.types import Network

_HEX = re.compile(r"[0-9a-fA-F]{64}")
_EVM = re.compile(r"0[xX][0-9a-fA-F]{64}")
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{43}=?")

_URL_SAFE = str.maketrans("-_", "+/")

_EVM_NETWORKS = frozenset({Network.ETHEREUM, Network.BSC, Network.POLYGON})

EXPLORERS = {
    Network.TRON: "https://tronscan.org/#/transaction/{}",
    Network.ETHEREUM: "https://etherscan.io/tx/{}",
    Network.BSC: "https://bscscan.com/tx/{}",
    Network.POLYGON: "https://polygonscan.com/tx/{}",
    Network.TON: "https://tonviewer.com/transaction/{}",
    Network.BITCOIN: "https://mempool.space/tx/{}",
}


def normalised(network: Network, typed: str) -> str | None:
    """64 lower-case hex digits, the same for one hash on every network; None for a wrong shape.

    EVM networks write `0x` and 64 hex digits; TRON and Bitcoin 64 hex digits; TON 64 hex digits or
    the 32 bytes in base64 (facts.md iv).
    """
    text = typed.strip()
    if network in _EVM_NETWORKS:
        return text[2:].lower() if _EVM.fullmatch(text) else None
    if _HEX.fullmatch(text):
        return text.lower()
    if network is Network.TON and _BASE64.fullmatch(text):
        # base64url is spelled as base64 first; both mean the same 32 bytes.
        raw = base64.b64decode(text.rstrip("=").translate(_URL_SAFE) + "=", validate=True)
        return raw.hex()
    return None


def shown(network: Network, stored: str) -> str:
    """The hash as that network's explorers write it."""
    return f"0x{stored}" if network in _EVM_NETWORKS else stored


def explorer_url(network: Network, stored: str) -> str:
    """A page that shows the transaction."""
    return EXPLORERS[network].format(shown(network, stored))
