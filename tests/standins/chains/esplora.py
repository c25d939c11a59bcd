"""A stand-in for Esplora, a Bitcoin explorer, and the HTTP server under the stand-ins here."""

from __future__ import annotations

import contextlib
import json
import secrets
import socket
import socketserver
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from types import TracebackType
from typing import Any, Literal, Self
from urllib.parse import parse_qsl

from tests.standins.tcp import ConnectionServer
from tests.standins.telegram.dispatch import Reply, json_reply
from tests.standins.telegram.http import Connection, Refused, Request

Json = dict[str, Any]
Fault = int | Literal["slow", "garbage", "hang up"]

GARBAGE = b"<html><body><h1>502 Bad Gateway</h1></body></html>"


@dataclass(frozen=True, slots=True)
class Call:
    """One request: `headers` keyed in small letters, `query` with all values of each name."""

    verb: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: Any  # the JSON that was sent, None without

    def asked(self, name: str, default: str = "") -> str:
        """A value of the query, the last of several."""
        return self.query[name][-1] if name in self.query else default


class HttpStandIn:
    """A server on loopback that notes its `calls` and can be told to fail.

    All methods may be called from any thread. The port stays the same over `stop()` and `start()`.
    """

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self._lock = threading.RLock()
        self._faults: list[tuple[Fault, float]] = []
        self._port = 0
        self._server: Server | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> Self:
        self._server = Server(self._port, self)
        self._port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def stop(self) -> None:
        """Ends open connections and refuses new ones; what the chain knows is kept."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server.hang_up()
            self._server = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        trace: TracebackType | None = None,
    ) -> None:
        self.stop()

    def fail_next(self, fault: Fault, times: int = 1, *, delay_seconds: float = 1.0) -> None:
        """What the next calls meet: a status such as 429, or slowness, garbage, a cut connection.

        Slow calls get their true answer, `delay_seconds` late. Faults asked for later come later.
        """
        with self._lock:
            self._faults += [(fault, delay_seconds)] * times

    def reply(self, request: Request, closing: threading.Event) -> Reply | None:
        """None cuts the connection."""
        query: dict[str, list[str]] = {}
        for name, value in parse_qsl(request.query, keep_blank_values=True):
            query.setdefault(name, []).append(value)
        body = None
        with contextlib.suppress(ValueError):
            body = json.loads(request.body)
        call = Call(request.verb, request.path, query, request.headers, body)
        with self._lock:
            self.calls.append(call)
            fault, delay_seconds = self._faults.pop(0) if self._faults else (None, 0.0)
        if fault == "slow":
            closing.wait(delay_seconds)
        elif fault == "garbage":
            return Reply(200, GARBAGE, "text/html")
        elif fault == "hang up":
            return None
        elif isinstance(fault, int):
            return self.refusal(call, fault)
        with self._lock:
            return self.answer(call)

    def answer(self, call: Call) -> Reply:
        """The provider's true answer."""
        raise NotImplementedError

    def refusal(self, call: Call, status: int) -> Reply:
        """As the provider words a status; here just by its name."""
        return text_reply(status, HTTPStatus(status).phrase)


class Server(ConnectionServer):
    def __init__(self, port: int, stand_in: HttpStandIn) -> None:
        self.stand_in = stand_in
        self.closing = threading.Event()
        super().__init__(("127.0.0.1", port), Handler)

    def hang_up(self) -> None:
        self.closing.set()
        super().hang_up()


class Handler(socketserver.BaseRequestHandler):
    server: Server
    request: socket.socket

    def handle(self) -> None:
        connection = Connection(self.request)
        keep_alive = True
        while keep_alive:
            try:
                request = connection.read_request()
            except Refused as refused:
                connection.write(text_reply(refused.status, "refused"), keep_alive=False)
                return
            if request is None:
                return
            reply = self.server.stand_in.reply(request, self.server.closing)
            if reply is None:
                return
            keep_alive = request.keep_alive
            connection.write(reply, keep_alive=keep_alive)


def text_reply(status: int, text: str) -> Reply:
    return Reply(status, text.encode(), "text/plain")


@dataclass(slots=True)
class BitcoinTransaction:
    txid: str
    outputs: list[tuple[str, int]]
    height: int | None  # None: in the mempool
    block_time: int | None

    def shown(self) -> Json:
        status: Json = {"confirmed": self.height is not None}
        if self.height is not None:
            block = {"block_height": self.height, "block_hash": f"{self.height:064x}"}
            status |= {**block, "block_time": self.block_time}
        outputs = [
            {"scriptpubkey_type": "v0_p2wpkh", "scriptpubkey_address": address, "value": value}
            for address, value in self.outputs
        ]
        return {"txid": self.txid, "version": 2, "vin": [], "vout": outputs, "status": status}


class EsploraStandIn(HttpStandIn):
    """Below `{url}/api`: `/tx/{txid}`, `/blocks/tip/height` and `/address/{address}/txs`.

    Fields, text answers and the pages of an address's history (50 unconfirmed, 25 confirmed, newest
    first, more by `/chain/{last txid}`) are from API.md in Blockstream/esplora. Guessed: the words
    of the 404 and the 400, that an unconfirmed status leaves its block out instead of saying null,
    and that a fault is answered in plain text. Scripts, inputs and fees are left out.
    """

    PAGE, UNCONFIRMED_PAGE = 25, 50

    def __init__(self) -> None:
        super().__init__()
        self.tip = 900_000
        self._transactions: dict[str, BitcoinTransaction] = {}  # oldest first

    def pay(self, to: str, satoshi: int, *, confirmed: bool = True, at: float | None = None) -> str:
        return self.pay_many([(to, satoshi)], confirmed=confirmed, at=at)

    def pay_many(
        self,
        outputs: Sequence[tuple[str, int]],
        *,
        confirmed: bool = True,
        at: float | None = None,
    ) -> str:
        """One transaction; its id. Confirmed ones get a new block, at the time `at` (unix)."""
        with self._lock:
            txid = secrets.token_hex(32)
            self._transactions[txid] = BitcoinTransaction(txid, list(outputs), None, None)
            if confirmed:
                self.confirm(txid, at=at)
            return txid

    def confirm(self, txid: str, *, at: float | None = None) -> None:
        """Into a new block: one confirmation, and one more with each further block."""
        with self._lock:
            self.tip += 1
            found = self._transactions[txid]
            found.height, found.block_time = self.tip, int(time.time() if at is None else at)

    def mine(self, blocks: int = 1) -> None:
        with self._lock:
            self.tip += blocks

    def forget(self, txid: str) -> None:
        """Replaced by another transaction (RBF), or reorganised away."""
        with self._lock:
            del self._transactions[txid]

    def answer(self, call: Call) -> Reply:
        match call.path.removeprefix("/api/").split("/"):
            case ["blocks", "tip", "height"]:
                return text_reply(200, str(self.tip))
            case ["tx", txid]:
                if len(txid) != 64 or not set(txid) <= set("0123456789abcdef"):
                    return text_reply(400, "Invalid hex string")
                if txid not in self._transactions:
                    return text_reply(404, "Transaction not found")
                return json_reply(200, self._transactions[txid].shown())
            case ["address", address, "txs"]:
                unconfirmed = self._history(address, confirmed=False)[: self.UNCONFIRMED_PAGE]
                return json_reply(200, unconfirmed + self._history(address)[: self.PAGE])
            case ["address", address, "txs", "chain", last]:
                history = self._history(address)
                seen = [n for n, each in enumerate(history, 1) if each["txid"] == last]
                return json_reply(200, history[seen[0] :][: self.PAGE] if seen else [])
        return text_reply(404, "Not Found")

    def _history(self, address: str, *, confirmed: bool = True) -> list[Json]:
        return [
            each.shown()
            for each in reversed(self._transactions.values())
            if (each.height is not None) is confirmed
            and any(address == receiver for receiver, _ in each.outputs)
        ]
