"""Stand-ins for the chains that people pay on: one real EVM node and three providers' APIs."""

from .esplora import Call, EsploraStandIn, HttpStandIn
from .evm import EvmChain, RpcError
from .toncenter import TonCenterStandIn
from .tron import TronGridStandIn, TronToken, TronTransfer

__all__ = [
    "Call",
    "EsploraStandIn",
    "EvmChain",
    "HttpStandIn",
    "RpcError",
    "TonCenterStandIn",
    "TronGridStandIn",
    "TronToken",
    "TronTransfer",
]
