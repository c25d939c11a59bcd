"""Bitcoin by the Esplora API (mempool.space, blockstream.info). No USDT moves there."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from manga_backend.kernel.money.chains.clients.http import ask, integer
from manga_backend.kernel.money.chains.errors import SourceAway
from manga_backend.kernel.money.chains.types import Arrivals, Chain, Incoming, Transaction


class BitcoinReader:
    """One Esplora server; the source's address ends before `/tx/…`."""

    def __init__(self, chain: Chain, source: str) -> None:
        self._chain = chain
        self._source = source

    def find(self, tx_hash: str) -> Transaction | None:
        status, answer = ask(f"{self._source}/tx/{tx_hash}")
        if status == 404:
            return None
        if not isinstance(answer, dict) or "vout" not in answer:
            raise SourceAway("not an answer of Esplora")
        return self._read(tx_hash, answer)

    def arrivals(self, cursor: str | None, since: datetime) -> Arrivals:
        """Nothing is settled by an amount here, so nothing is looked for."""
        return Arrivals([], cursor or str(int(since.timestamp())))

    def _read(self, tx_hash: str, answer: Any) -> Transaction:
        incoming = tuple(
            Incoming(tx_hash, index, "", integer(out.get("value")))
            for index, out in enumerate(answer["vout"])
            if out.get("scriptpubkey_address") == self._chain.address
        )
        state = answer.get("status") or {}
        if not state.get("confirmed"):
            return Transaction(tx_hash, succeeded=True, incoming=incoming)
        number = integer(state.get("block_height"))
        _status, head = ask(f"{self._source}/blocks/tip/height")
        return Transaction(
            tx_hash,
            succeeded=True,
            incoming=incoming,
            block_number=number,
            block_time=datetime.fromtimestamp(integer(state.get("block_time")), UTC),
            confirmations=max(0, integer(head) - number + 1),
        )
