"""What a network's sources say together."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from manga_backend.kernel.money.chains.clients.bitcoin import BitcoinReader
from manga_backend.kernel.money.chains.clients.evm import EvmReader
from manga_backend.kernel.money.chains.clients.ton import TonReader
from manga_backend.kernel.money.chains.clients.tron import TronReader
from manga_backend.kernel.money.chains.domain import judge, same_story
from manga_backend.kernel.money.chains.errors import SourceAway
from manga_backend.kernel.money.chains.types import (
    Arrivals,
    Chain,
    Expected,
    Finding,
    Network,
    Reader,
    Verdict,
)

READERS: dict[Network, Callable[[Chain, str], Reader]] = {
    Network.TRON: TronReader,
    Network.ETHEREUM: EvmReader,
    Network.BSC: EvmReader,
    Network.POLYGON: EvmReader,
    Network.TON: TonReader,
    Network.BITCOIN: BitcoinReader,
}


def examine(chain: Chain, tx_hash: str, expected: Expected) -> Finding:
    """A verdict in which all sources agree; `unknown` when one is away or tells another story."""
    build = READERS[chain.network]
    try:
        stories = [build(chain, source).find(tx_hash) for source in chain.sources]
    except SourceAway as away:
        return Finding(Verdict.UNKNOWN, needed=chain.confirmations, note=away.words)
    if not all(same_story(stories[0], other) for other in stories[1:]):
        known = [judge(story, expected, chain) for story in stories if story is not None]
        if len(known) < len(stories):  # one of them has not heard of it yet
            return Finding(Verdict.UNCONFIRMED, needed=chain.confirmations)
        words = "the sources do not agree"
        return Finding(Verdict.UNKNOWN, needed=chain.confirmations, note=words)
    least = min((s for s in stories if s is not None), key=lambda s: s.confirmations, default=None)
    return judge(least, expected, chain)


def list_arrivals(chain: Chain, cursor: str | None, since: datetime) -> Arrivals:
    """From the first source; whatever settles a payment is examined by all. Raises SourceAway."""
    return READERS[chain.network](chain, chain.sources[0]).arrivals(cursor, since)
