"""A stand-in for TronGrid: a chain in memory that answers about TRC-20 transfers."""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass

from tests.standins.telegram.dispatch import Reply, json_reply

from .esplora import Call, HttpStandIn, Json

TRANSFER_TOPIC = "ddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"
TRANSFER_SELECTOR = "a9059cbb"
ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"


def to_base58(address: str) -> str:
    """An address in hex, 41 and 40 digits, as people see it: base58 with a checksum."""
    raw = bytes.fromhex(address)
    raw += hashlib.sha256(hashlib.sha256(raw).digest()).digest()[:4]
    number, text = int.from_bytes(raw), ""
    while number:
        number, digit = divmod(number, 58)
        text = ALPHABET[digit] + text
    return text  # 41 comes first: no leading zero bytes to keep


def to_hex(address: str) -> str:
    """The reverse; raises ValueError for what is no TRON address."""
    number = 0
    for letter in address:
        number = number * 58 + ALPHABET.index(letter)
    raw = number.to_bytes(25) if number < 256**25 else b""
    found = raw[:-4].hex()
    if not found.startswith("41") or to_base58(found) != address:
        raise ValueError(f"no TRON address: {address}")
    return found


def some_address(name: str) -> str:
    """A valid address, the same for each name."""
    return to_base58("41" + hashlib.sha256(name.encode()).hexdigest()[:40])


@dataclass(frozen=True, slots=True)
class TronToken:
    address: str
    symbol: str
    name: str
    decimals: int


USDT = TronToken("TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6t", "USDT", "Tether USD", 6)
# Another contract under the same name: what people are cheated with.
FAKE_USDT = TronToken(some_address("fake USDT"), "USDT", "Tether USD", 6)
SENDER = some_address("sender")


@dataclass(frozen=True, slots=True)
class TronTransfer:
    """`amount` in the token's smallest unit."""

    to: str
    amount: int
    token: TronToken = USDT
    sender: str = SENDER

    def log(self) -> Json:
        ends = (to_hex(self.sender), to_hex(self.to))
        topics = [TRANSFER_TOPIC, *(end[2:].rjust(64, "0") for end in ends)]
        address = to_hex(self.token.address)[2:]
        return {"address": address, "topics": topics, "data": f"{self.amount:064x}"}


@dataclass(slots=True)
class TronTransaction:
    txid: str
    transfers: tuple[TronTransfer, ...]
    block: int
    time_ms: int
    outcome: str  # SUCCESS, REVERT, OUT_OF_ENERGY, ...

    @property
    def failed(self) -> bool:
        return self.outcome != "SUCCESS"

    def receipt(self) -> Json:
        first = self.transfers[0]
        shown: Json = {
            "id": self.txid,
            "fee": 345_000,
            "blockNumber": self.block,
            "blockTimeStamp": self.time_ms,
            "contractResult": [""],
            "contract_address": to_hex(first.token.address),
            "receipt": {"net_fee": 345_000, "energy_usage_total": 64_285, "result": self.outcome},
        }
        if self.failed:
            return {**shown, "result": "FAILED", "resMessage": b"failed on purpose".hex()}
        return {**shown, "log": [each.log() for each in self.transfers]}

    def body(self) -> Json:
        first = self.transfers[0]
        data = TRANSFER_SELECTOR + to_hex(first.to)[2:].rjust(64, "0") + f"{first.amount:064x}"
        value = {
            "data": data,
            "owner_address": to_hex(first.sender),
            "contract_address": to_hex(first.token.address),
        }
        contract = {"parameter": {"value": value}, "type": "TriggerSmartContract"}
        times = {"expiration": self.time_ms + 60_000, "timestamp": self.time_ms}
        return {
            "ret": [{"contractRet": self.outcome}],
            "signature": ["00" * 65],
            "txID": self.txid,
            "raw_data": {"contract": [contract], **times, "fee_limit": 100_000_000},
            "raw_data_hex": "",
        }

    def rows(self) -> list[Json]:
        """As the account's history lists it; a failed transaction has left no event to list."""
        return [] if self.failed else [self._row(each) for each in self.transfers]

    def _row(self, each: TronTransfer) -> Json:
        token = each.token
        info = {"symbol": token.symbol, "address": token.address}
        return {
            "transaction_id": self.txid,
            "token_info": {**info, "decimals": token.decimals, "name": token.name},
            "block_timestamp": self.time_ms,
            "from": each.sender,
            "to": each.to,
            "type": "Transfer",
            "value": str(each.amount),
        }


class TronGridStandIn(HttpStandIn):
    """Paths below `/wallet` see the whole chain, those below `/walletsolidity` its solid part.

    Sources: receipts, bodies and blocks from tronprotocol.github.io (HTTP API, block-and-tx-query)
    and the real failed receipt in java-tron issue 6069 (no `log` key at all); the account's history
    and its filters from developers.tron.network (TRC-20 transaction history) and the README of
    tronprotocol/tron-grid; refusals from developers.tron.network (Rate limits). Guessed: the
    wording of refused parameters, `fingerprint` (opaque, here a position), and that a limit over
    200 is refused. An API key is neither asked for nor checked: it is in `calls[i].headers`.
    """

    def __init__(self) -> None:
        super().__init__()
        self.head = 70_000_000
        self._unsolid: list[int] = []  # blocks, rising
        self._transactions: dict[str, TronTransaction] = {}  # oldest first

    @property
    def solid_head(self) -> int:
        """The last block that no reorganisation can take away any more."""
        return self._unsolid[0] - 1 if self._unsolid else self.head

    def transfer(
        self,
        to: str,
        amount: int,
        *,
        token: TronToken = USDT,
        sender: str = SENDER,
        solidified: bool = True,
        failed: bool = False,
        at: float | None = None,
    ) -> str:
        """The transaction's id; `amount` in the token's smallest unit, `at` in unix seconds."""
        transfers = [TronTransfer(to, amount, token, sender)]
        return self.transfer_many(transfers, solidified=solidified, failed=failed, at=at)

    def transfer_many(
        self,
        transfers: Sequence[TronTransfer],
        *,
        solidified: bool = True,
        failed: bool = False,
        at: float | None = None,
    ) -> str:
        """Several in one transaction. A solid one joins the solid part at its end."""
        with self._lock:
            txid = secrets.token_hex(32)
            if not self._unsolid or not solidified:
                self.head += 1
            if not solidified:
                self._unsolid.append(self.head)
            block = self.solid_head if solidified else self.head
            time_ms = int((time.time() if at is None else at) * 1000)
            outcome = "OUT_OF_ENERGY" if failed else "SUCCESS"
            self._transactions[txid] = TronTransaction(
                txid, tuple(transfers), block, time_ms, outcome
            )
            return txid

    def solidify(self, txid: str) -> None:
        """The block of this transaction and, as on the real chain, all before it."""
        with self._lock:
            block = self._transactions[txid].block
            self._unsolid = [each for each in self._unsolid if each > block]

    def forget(self, txid: str) -> None:
        """Reorganised away before it was solid."""
        with self._lock:
            gone = self._transactions.pop(txid)
            self._unsolid = [each for each in self._unsolid if each != gone.block]

    def refusal(self, call: Call, status: int) -> Reply:
        why = "The key exceeds the frequency limit(15), and the query server is suspended for 30s"
        if call.path.startswith("/v1/"):
            return refused(status, why)
        return json_reply(status, {"Error": why})

    def answer(self, call: Call) -> Reply:
        match call.path.split("/")[1:]:
            case ["wallet" | "walletsolidity" as view, method]:
                return self._node(call, method, solid=view == "walletsolidity")
            case ["v1", "accounts", address, "transactions", "trc20"]:
                try:
                    return self._history(call, normal(address))
                except ValueError as error:
                    return refused(400, str(error))
        return json_reply(404, {"Error": "Not Found"})

    def _node(self, call: Call, method: str, *, solid: bool) -> Reply:
        sent: Json = call.body if isinstance(call.body, dict) else {}
        txid = str(sent.get("value", call.asked("value"))).lower()
        found = self._transactions.get(txid)
        if found and solid and found.block > self.solid_head:
            found = None
        match method:
            case "gettransactioninfobyid":
                return json_reply(200, found.receipt() if found else {})
            case "gettransactionbyid":
                return json_reply(200, found.body() if found else {})
            case "getnowblock":
                number = self.solid_head if solid else self.head
                header = {"number": number, "timestamp": int(time.time() * 1000), "version": 34}
                shown = {"blockID": f"{number:016x}".ljust(64, "0")}
                return json_reply(200, {**shown, "block_header": {"raw_data": header}})
        return json_reply(404, {"Error": "Not Found"})

    def _history(self, call: Call, address: str) -> Reply:
        limit, start = int(call.asked("limit", "20")), int(call.asked("fingerprint", "0"))
        if not 1 <= limit <= 200:
            raise ValueError("limit must be between 1 and 200")
        contract = call.asked("contract_address")
        contract = contract and normal(contract)
        since = int(call.asked("min_timestamp", "0"))
        until = int(call.asked("max_timestamp", str(2**63)))
        rows = [
            row
            for each in self._transactions.values()
            if (each.block <= self.solid_head or call.asked("only_confirmed") != "true")
            and (each.block > self.solid_head or call.asked("only_unconfirmed") != "true")
            and since <= each.time_ms <= until
            for row in each.rows()
            if address in (row["from"], row["to"])
            and (row["to"] == address or call.asked("only_to") != "true")
            and (row["from"] == address or call.asked("only_from") != "true")
            and contract in ("", row["token_info"]["address"])
        ]
        newest_first = call.asked("order_by", "block_timestamp,desc") != "block_timestamp,asc"
        rows.sort(key=lambda row: row["block_timestamp"], reverse=newest_first)
        page = rows[start : start + limit]
        meta: Json = {"at": int(time.time() * 1000), "page_size": len(page)}
        if start + limit < len(rows):
            meta["fingerprint"] = str(start + limit)
        return json_reply(200, {"data": page, "success": True, "meta": meta})


def normal(address: str) -> str:
    """Addresses may be given in base58 or hex (README of tron-grid)."""
    return to_base58(address) if address.startswith("41") else to_base58(to_hex(address))


def refused(status: int, why: str) -> Reply:
    return json_reply(status, {"success": False, "error": why, "statusCode": status})
