"""TRON by TronGrid's HTTP API: solidified receipts first, then what is not final yet."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from manga_backend.kernel.money.chains.clients.http import ask, integer
from manga_backend.kernel.money.chains.domain import tron_address, tron_bytes
from manga_backend.kernel.money.chains.errors import SourceAway
from manga_backend.kernel.money.chains.types import Arrivals, Chain, Incoming, Transaction

TRANSFER = "ddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"
PAGE = 200
MOST_PAGES = 20
OVERLAP_MS = 60_000
"""Reading goes on a little before where it ended: a block may come late into the index."""


class TronReader:
    """One TronGrid, or a node with the same API."""

    def __init__(self, chain: Chain, source: str) -> None:
        self._chain = chain
        self._source = source
        self._token = tron_bytes(chain.token) or ""
        self._ours = tron_bytes(chain.address) or ""
        self._headers = {"TRON-PRO-API-KEY": chain.api_key} if chain.api_key else {}

    def find(self, tx_hash: str) -> Transaction | None:
        solid = self._post("walletsolidity/gettransactioninfobyid", tx_hash)
        if solid:
            return self._read(tx_hash, solid, final=True, head=None)
        fresh = self._post("wallet/gettransactioninfobyid", tx_hash)
        if fresh:
            return self._read(tx_hash, fresh, final=False, head=self._head())
        body = self._post("wallet/gettransactionbyid", tx_hash)
        return Transaction(tx_hash, succeeded=True) if body else None

    def arrivals(self, cursor: str | None, since: datetime) -> Arrivals:
        """By time; the cursor is the newest block time seen, in ms."""
        start = int(cursor) - OVERLAP_MS if cursor else int(since.timestamp() * 1000)
        newest, fingerprint = int(cursor or start), ""
        hashes: dict[str, None] = {}
        for _ in range(MOST_PAGES):
            page = self._transfers(start, fingerprint)
            for row in page.get("data") or ():
                hashes[str(row.get("transaction_id"))] = None
                newest = max(newest, integer(row.get("block_timestamp")))
            fingerprint = str((page.get("meta") or {}).get("fingerprint") or "")
            if not fingerprint:
                break
        found = [one for tx in hashes if (one := self.find(tx.lower())) is not None]
        return Arrivals(found, str(newest))

    def _transfers(self, start: int, fingerprint: str) -> dict[str, Any]:
        query = (
            f"only_confirmed=true&only_to=true&limit={PAGE}&contract_address={self._chain.token}"
            f"&min_timestamp={start}&order_by=block_timestamp,asc"
        )
        if fingerprint:
            query += f"&fingerprint={fingerprint}"
        path = f"v1/accounts/{self._chain.address}/transactions/trc20"
        _status, answer = ask(f"{self._source}/{path}?{query}", headers=self._headers)
        if not isinstance(answer, dict) or not answer.get("success", True):
            raise SourceAway("not an answer of TronGrid")
        return answer

    def _read(self, tx_hash: str, info: Any, *, final: bool, head: int | None) -> Transaction:
        incoming: list[Incoming] = []
        token_to_others = other_to_us = False
        for index, log in enumerate(info.get("log") or ()):
            topics = [str(topic).lower() for topic in log.get("topics") or ()]
            if len(topics) != 3 or topics[0] != TRANSFER:
                continue
            is_ours = str(log.get("address", "")).lower()[-40:] == self._token
            to_us = topics[2][-40:] == self._ours
            amount = integer(f"0x{log.get('data') or '0'}")
            if is_ours and to_us and amount:
                sender = tron_address(topics[1][-40:])
                incoming.append(Incoming(tx_hash, index, sender, amount))
            elif is_ours and amount:
                token_to_others = True
            elif to_us and not is_ours:
                other_to_us = True
        number = integer(info.get("blockNumber"))
        outcome = str((info.get("receipt") or {}).get("result") or "SUCCESS")
        return Transaction(
            tx_hash,
            succeeded=info.get("result") != "FAILED" and outcome == "SUCCESS",
            incoming=tuple(incoming),
            token_to_others=token_to_others,
            other_to_us=other_to_us,
            block_number=number,
            block_time=datetime.fromtimestamp(integer(info.get("blockTimeStamp")) / 1000, UTC),
            confirmations=self._chain.confirmations if head is None else max(0, head - number + 1),
            final=final,
        )

    def _head(self) -> int:
        _status, block = ask(f"{self._source}/wallet/getnowblock", {}, headers=self._headers)
        if not isinstance(block, dict):
            raise SourceAway("not an answer of TronGrid")
        return integer(((block.get("block_header") or {}).get("raw_data") or {}).get("number"))

    def _post(self, path: str, tx_hash: str) -> dict[str, Any]:
        """An empty object is TRON's way to say that it knows nothing."""
        _status, answer = ask(f"{self._source}/{path}", {"value": tx_hash}, headers=self._headers)
        if not isinstance(answer, dict) or "Error" in answer:
            raise SourceAway("not an answer of TronGrid")
        return answer
