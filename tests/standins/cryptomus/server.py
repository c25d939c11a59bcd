"""The HTTP server, and the page that stands in for the hosted checkout."""

from __future__ import annotations

import contextlib
import html
import socket
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler
from typing import Any

from tests.standins.tcp import ConnectionServer

from .merchant import MerchantApi, Reply

PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Cryptomus stand-in</title>
<h1>{amount} {currency}</h1><p>Order {order_id}: {status}</p></html>"""


class Server(ConnectionServer):
    def __init__(
        self, api: MerchantApi, find: Callable[[str], Mapping[str, Any] | None], port: int
    ) -> None:
        self.api = api
        self.find = find
        super().__init__(("127.0.0.1", port), Handler)


class Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # an answer leaves in one piece

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self._write(self.server.api.serve(self.path.partition("?")[0], headers, body))

    def do_GET(self) -> None:
        invoice = self.server.find(self.path.removeprefix("/pay/"))
        if invoice is None:
            self._write(Reply(404, b"Not Found", "text/plain"))
            return
        shown = {name: html.escape(str(value)) for name, value in invoice.items()}
        self._write(Reply(200, PAGE.format_map(shown).encode(), "text/html; charset=utf-8"))

    def _write(self, reply: Reply | None) -> None:
        if reply is None:
            self.close_connection = True
            with contextlib.suppress(OSError):
                self.connection.shutdown(socket.SHUT_RDWR)
            return
        self.send_response(reply.status)
        self.send_header("Content-Type", reply.content_type)
        self.send_header("Content-Length", str(len(reply.body)))
        self.end_headers()
        self.wfile.write(reply.body)

    def log_message(self, format: str, *args: Any) -> None:
        """Tests look at `calls` instead."""
