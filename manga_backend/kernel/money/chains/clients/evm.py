"""Ethereum, BSC and Polygon by JSON-RPC: receipts and Transfer logs, never calldata or symbols."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from manga_backend.kernel.money.chains.clients.http import ask, integer
from manga_backend.kernel.money.chains.domain import evm_bytes
from manga_backend.kernel.money.chains.errors import SourceAway
from manga_backend.kernel.money.chains.types import Arrivals, Chain, Incoming, Transaction
from manga_backend.kit import clock

TRANSFER = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"
"""Keccak of `Transfer(address,address,uint256)` (ERC-20)."""
BLOCKS_AT_ONCE = 1000
"""What public nodes allow one eth_getLogs to span."""
SECONDS_OF_A_BLOCK = 2


class EvmReader:
    """One node of an EVM chain."""

    def __init__(self, chain: Chain, source: str) -> None:
        self._chain = chain
        self._source = source
        self._token = evm_bytes(chain.token)
        self._ours = evm_bytes(chain.address)

    def find(self, tx_hash: str) -> Transaction | None:
        wanted = f"0x{tx_hash}"
        receipt = self._call("eth_getTransactionReceipt", wanted)
        if receipt is None:
            waits = self._call("eth_getTransactionByHash", wanted)
            return None if waits is None else Transaction(tx_hash, succeeded=True)
        number = integer(receipt.get("blockNumber"))
        block = self._call("eth_getBlockByNumber", hex(number), False)
        head = integer(self._call("eth_blockNumber"))
        if not isinstance(block, dict) or block.get("hash") != receipt.get("blockHash"):
            return Transaction(tx_hash, succeeded=True)  # reorganised while we asked
        return self._read(tx_hash, receipt, block, head)

    def arrivals(self, cursor: str | None, since: datetime) -> Arrivals:
        """By blocks; the cursor is the first that was not read, and only blocks with enough
        confirmations are read, so a reorganised block is not among them."""
        head = integer(self._call("eth_blockNumber"))
        last = head - self._chain.confirmations + 1
        first = int(cursor) if cursor else self._first_block(head, since)
        found: list[Transaction] = []
        while first <= last:
            upto = min(last, first + BLOCKS_AT_ONCE - 1)
            logs = self._call(
                "eth_getLogs",
                {
                    "address": f"0x{self._token}",
                    "topics": [TRANSFER, None, f"0x{self._ours:0>64}"],
                    "fromBlock": hex(first),
                    "toBlock": hex(upto),
                },
            )
            if not isinstance(logs, list):
                raise SourceAway("no list of logs")
            hashes = dict.fromkeys(str(log.get("transactionHash")) for log in logs)
            found += [one for tx in hashes if (one := self.find(tx[2:].lower())) is not None]
            first = upto + 1
        return Arrivals(found, str(first))

    def _first_block(self, head: int, since: datetime) -> int:
        """A little before a moment, by how far blocks lie apart at the least."""
        seconds = (clock.now() - since).total_seconds()
        return max(0, head - max(0, int(seconds / SECONDS_OF_A_BLOCK)) - self._chain.confirmations)

    def _read(self, tx_hash: str, receipt: Any, block: Any, head: int) -> Transaction:
        incoming: list[Incoming] = []
        token_to_others = other_to_us = False
        for log in receipt.get("logs") or ():
            topics = [str(topic).lower() for topic in log.get("topics") or ()]
            if len(topics) != 3 or topics[0] != TRANSFER:
                continue
            is_ours = str(log.get("address", ""))[2:].lower() == self._token
            to_us = topics[2][-40:] == self._ours
            amount = integer(log["data"] if len(log.get("data") or "") > 2 else 0)
            if is_ours and to_us and amount:
                index, sender = integer(log.get("logIndex")), f"0x{topics[1][-40:]}"
                incoming.append(Incoming(tx_hash, index, sender, amount))
            elif is_ours and amount:
                token_to_others = True
            elif to_us and not is_ours:
                other_to_us = True
        if str(receipt.get("to") or "")[2:].lower() == self._ours:
            other_to_us = True  # the chain's own coin
        number = integer(receipt.get("blockNumber"))
        return Transaction(
            tx_hash,
            succeeded=integer(receipt.get("status")) == 1,
            incoming=tuple(incoming),
            token_to_others=token_to_others,
            other_to_us=other_to_us,
            block_number=number,
            block_time=datetime.fromtimestamp(integer(block.get("timestamp")), UTC),
            confirmations=max(0, head - number + 1),
        )

    def _call(self, method: str, *params: Any) -> Any:
        question = {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)}
        _status, answer = ask(self._source, question)
        if not isinstance(answer, dict) or ("result" not in answer and "error" not in answer):
            raise SourceAway("not a JSON-RPC answer")
        if answer.get("error"):
            raise SourceAway(f"{method}: {str(answer['error'].get('message', ''))[:200]}")
        return answer["result"]
