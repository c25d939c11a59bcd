"""TON by TON Center's API v3: jetton transfers to our address, of USDT's master alone."""

from __future__ import annotations

import base64
import binascii
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from manga_backend.kernel.money.chains.clients.http import ask, integer
from manga_backend.kernel.money.chains.errors import SourceAway
from manga_backend.kernel.money.chains.types import Arrivals, Chain, Incoming, Transaction
from manga_backend.kit import clock

PAGE = 256
LOOK_BACK_SECONDS = 2 * 86_400


class TonReader:
    """One TON Center, or a server with the same API."""

    def __init__(self, chain: Chain, source: str) -> None:
        self._chain = chain
        self._source = source
        self._headers = {"X-API-Key": chain.api_key} if chain.api_key else {}

    def find(self, tx_hash: str) -> Transaction | None:
        """Among what came to us lately: a transaction that brought us nothing is not known here."""
        since = clock.now().timestamp() - LOOK_BACK_SECONDS
        for row in self._rows(int(since)):
            if _as_hex(row.get("transaction_hash")) == tx_hash:
                return self._read(tx_hash, row)
        return None

    def arrivals(self, cursor: str | None, since: datetime) -> Arrivals:
        start = int(cursor) if cursor else int(since.timestamp())
        found, newest = [], start
        for row in self._rows(start):
            tx_hash = _as_hex(row.get("transaction_hash"))
            if tx_hash is not None:
                found.append(self._read(tx_hash, row))
                newest = max(newest, integer(row.get("transaction_now")))
        return Arrivals(found, str(newest))

    def _rows(self, start: int) -> list[Any]:
        query = (
            f"owner_address={quote(self._chain.address)}&direction=in"
            f"&jetton_master={quote(self._chain.token)}&start_utime={start}&limit={PAGE}&sort=desc"
        )
        _status, answer = ask(
            f"{self._source}/api/v3/jetton/transfers?{query}", headers=self._headers
        )
        if not isinstance(answer, dict) or not isinstance(answer.get("jetton_transfers"), list):
            raise SourceAway("not an answer of TON Center")
        rows: list[Any] = answer["jetton_transfers"]
        return rows

    def _read(self, tx_hash: str, row: Any) -> Transaction:
        return Transaction(
            tx_hash,
            succeeded=not row.get("transaction_aborted"),
            incoming=(Incoming(tx_hash, 0, str(row.get("source")), integer(row.get("amount"))),),
            block_number=0,  # a shard's number says nothing; what the index shows is final
            block_time=datetime.fromtimestamp(integer(row.get("transaction_now")), UTC),
            confirmations=self._chain.confirmations,
            final=True,
        )


def _as_hex(text: Any) -> str | None:
    try:
        return base64.b64decode(str(text), validate=True).hex()
    except binascii.Error:
        return None
