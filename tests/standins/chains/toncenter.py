"""A stand-in for TON Center's API v3: an index in memory of jetton transfers."""

from __future__ import annotations

import base64
import binascii
import hashlib
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass

from tests.standins.telegram.dispatch import Reply, json_reply

from .esplora import Call, HttpStandIn, Json

BOUNCEABLE, NON_BOUNCEABLE = 0x11, 0x51
TRANSFER_OPCODE = "0x0f8a7ea5"  # TEP-74
LONGEST_COMMENT = 123  # bytes: what one cell holds besides the 4 of the opcode


def to_raw(address: str) -> str:
    """Any form as `0:` and 64 upper-case hex digits; raises ValueError for what is no address."""
    workchain, colon, digits = address.partition(":")
    if colon:
        return f"{int(workchain)}:{bytes.fromhex(digits).hex().upper()}"
    raw = base64.b64decode(address.replace("-", "+").replace("_", "/"), validate=True)
    if len(raw) != 36 or binascii.crc_hqx(raw[:34], 0) != int.from_bytes(raw[34:]):
        raise ValueError(f"no TON address: {address}")
    return f"{int.from_bytes(raw[1:2], signed=True)}:{raw[2:34].hex().upper()}"


def to_friendly(address: str, *, tag: int = BOUNCEABLE) -> str:
    """As people see it: EQ… for contracts, UQ… (`NON_BOUNCEABLE`) for wallets."""
    workchain, _, digits = to_raw(address).partition(":")
    raw = bytes([tag]) + int(workchain).to_bytes(1, signed=True) + bytes.fromhex(digits)
    return base64.urlsafe_b64encode(raw + binascii.crc_hqx(raw, 0).to_bytes(2)).decode()


def some_account(name: str) -> str:
    """A valid raw address, the same for each name."""
    return f"0:{hashlib.sha256(name.encode()).hexdigest().upper()}"


USDT_MASTER = to_raw("EQCxE6mUtQJKFnGfaROTKOt1lZbDiiX1kCixRv7Nw2Id_sDs")
FAKE_MASTER = some_account("fake USDT")
SENDER = some_account("sender")


def to_base64(txid: str) -> str:
    """A hash in hex, base64 or base64url as the API writes it; raises ValueError for others."""
    if len(txid) == 64:
        raw = bytes.fromhex(txid)
    else:
        text = txid.replace("-", "+").replace("_", "/").rstrip("=")
        raw = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    if len(raw) != 32:
        raise ValueError("a hash has 32 bytes")
    return base64.b64encode(raw).decode()


def comment_cell(comment: str) -> str:
    """A text comment as a bag of one cell, in base64 (TEP-74; boc.tlb, serialized_boc)."""
    data = bytes(4) + comment.encode()  # opcode 0
    if len(data) > LONGEST_COMMENT + 4:
        raise ValueError(f"a comment here has at most {LONGEST_COMMENT} bytes")
    cell = bytes([0, 2 * len(data)]) + data
    head = bytes.fromhex("b5ee9c72") + bytes([1, 1, 1, 1, 0, len(cell), 0])
    return base64.b64encode(head + cell).decode()


@dataclass(frozen=True, slots=True)
class JettonTransfer:
    hash: str
    trace_id: str
    lt: int
    now: int
    source: str
    destination: str
    master: str
    amount: int
    comment: str | None
    decoded: bool
    aborted: bool

    @property
    def source_wallet(self) -> str:
        return some_account(f"wallet of {self.source} for {self.master}")

    def row(self) -> Json:
        has_text = self.comment is not None and self.decoded
        return {
            "query_id": "0",
            "source": self.source,
            "destination": self.destination,
            "amount": str(self.amount),
            "source_wallet": self.source_wallet,
            "jetton_master": self.master,
            "transaction_hash": self.hash,
            "transaction_lt": str(self.lt),
            "transaction_now": self.now,
            "transaction_aborted": self.aborted,
            "response_destination": self.source,
            "custom_payload": None,
            "decoded_custom_payload": None,
            "forward_ton_amount": "1",
            "forward_payload": None if self.comment is None else comment_cell(self.comment),
            "decoded_forward_payload": (
                {"type": "text_comment", "comment": self.comment} if has_text else None
            ),
            "trace_id": self.trace_id,
        }

    def transactions(self) -> list[Json]:
        """The sender's wallet signs, which starts the trace; then its jetton wallet acts."""
        signed = self._transaction(self.trace_id, self.source, self.lt - 2, False)
        acted = self._transaction(self.hash, self.source_wallet, self.lt, self.aborted)
        acted["in_msg"] |= {"source": self.source, "opcode": TRANSFER_OPCODE, "value": "50000000"}
        return [signed, acted]

    def _transaction(self, txid: str, account: str, lt: int, aborted: bool) -> Json:
        phase = {"skipped": False, "success": not aborted, "exit_code": 706 if aborted else 0}
        message = {"source": None, "destination": account, "opcode": None, "value": None}
        return {
            "account": account,
            "hash": txid,
            "lt": str(lt),
            "now": self.now,
            "mc_block_seqno": 50_000_000,
            "trace_id": self.trace_id,
            "orig_status": "active",
            "end_status": "active",
            "total_fees": "2500000",
            "description": {"type": "ord", "aborted": aborted, "compute_ph": phase},
            "in_msg": message,
            "out_msgs": [],
        }


class TonCenterStandIn(HttpStandIn):
    """`{url}/api/v3/jetton/transfers` and `{url}/api/v3/transactions`.

    Sources: toncenter/ton-indexer (ton-index-go): names and types of all fields of a transfer, the
    parameters (`address` is an old name of `owner_address`), limits (10, at most 1000), `sort` by
    lt, newest first by default, hashes in hex, base64 and base64url, 422 for what cannot be read,
    an empty list (formerly 404) for what is unknown; 429 from docs.ton.org (Rate limit). Seen in
    other people's clients: `decoded_forward_payload.comment`, not always there. Guessed: that raw
    addresses come in upper case, that `transaction_hash` is the transaction of the sender's jetton
    wallet and `trace_id` the hash of the first of its trace, that time limits are inclusive, the
    words of a 422. Transactions are cut down to what a payment check reads.
    """

    def __init__(self) -> None:
        super().__init__()
        self._transfers: dict[str, JettonTransfer] = {}

    def transfer(
        self,
        to: str,
        amount: int,
        *,
        master: str = USDT_MASTER,
        sender: str = SENDER,
        comment: str | None = None,
        decoded: bool = True,
        aborted: bool = False,
        at: float | None = None,
    ) -> str:
        """The hash in base64. `to` owns the jettons; `decoded=False` leaves the text to readers."""
        with self._lock:
            txid, trace_id = (base64.b64encode(secrets.token_bytes(32)).decode() for _ in "ab")
            now, lt = int(time.time() if at is None else at), 60_000_000 + 10 * len(self._transfers)
            ends = (to_raw(sender), to_raw(to), to_raw(master))
            self._transfers[txid] = JettonTransfer(
                txid, trace_id, lt, now, *ends, amount, comment, decoded, aborted
            )
            return txid

    def trace_of(self, txid: str) -> str:
        """The hash that wallets show for the same payment: the first of its trace."""
        return self._transfers[txid].trace_id

    def forget(self, txid: str) -> None:
        with self._lock:
            del self._transfers[txid]

    def refusal(self, call: Call, status: int) -> Reply:
        why = "Ratelimit exceed" if status == 429 else "refused"
        return json_reply(status, {"ok": False, "result": why, "code": status})

    def answer(self, call: Call) -> Reply:
        try:
            match call.path.removeprefix("/api/v3/"):
                case "jetton/transfers":
                    rows = [each.row() for each in self._chosen(call)]
                    return listing("jetton_transfers", rows, call)
                case "transactions":
                    return listing("transactions", self._transactions(call), call)
        except ValueError as error:
            return json_reply(422, {"error": str(error)})
        return json_reply(404, {"error": "Not Found"})

    def _chosen(self, call: Call) -> Sequence[JettonTransfer]:
        given = call.query.get("owner_address") or call.query.get("address", [])
        owners = {to_raw(each) for each in given}
        wallets = {to_raw(each) for each in call.query.get("jetton_wallet", [])}
        masters = {to_raw(each) for each in call.query.get("jetton_master", [])}
        direction = call.asked("direction", "both")
        if direction not in ("in", "out", "both"):
            raise ValueError("unknown direction")
        since, until = int(call.asked("start_utime", "0")), int(call.asked("end_utime", "99" * 9))
        first, last = int(call.asked("start_lt", "0")), int(call.asked("end_lt", "99" * 9))
        found = []
        for each in self._transfers.values():
            ends = {"in": {each.destination}, "out": {each.source}}
            mine = ends.get(direction, {each.destination, each.source})
            if (
                (not owners or owners & mine)
                and (not wallets or each.source_wallet in wallets)
                and (not masters or each.master in masters)
                and since <= each.now <= until
                and first <= each.lt <= last
            ):
                found.append(each)
        return found if call.asked("sort", "desc") == "asc" else found[::-1]

    def _transactions(self, call: Call) -> list[Json]:
        wanted = {to_base64(each) for each in call.query.get("hash", [])}
        shown = [each for t in self._transfers.values() for each in t.transactions()]
        return [each for each in shown if not wanted or each["hash"] in wanted]


def listing(name: str, rows: list[Json], call: Call) -> Reply:
    limit, offset = int(call.asked("limit", "10")), int(call.asked("offset", "0"))
    if not 1 <= limit <= 1000 or offset < 0:
        raise ValueError("limit must be between 1 and 1000, offset not below 0")
    return json_reply(200, {name: rows[offset : offset + limit], "address_book": {}})
