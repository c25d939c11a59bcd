"""The networks on which people pay."""

from __future__ import annotations

from enum import StrEnum


class Network(StrEnum):
    """A public chain."""

    TRON = "tron"
    ETHEREUM = "ethereum"
    BSC = "bsc"
    POLYGON = "polygon"
    TON = "ton"
    BITCOIN = "bitcoin"
