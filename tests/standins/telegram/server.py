"""The HTTP server: Bot API, chat page, and below /_control/ the control API (see control.py)."""

from __future__ import annotations

import contextlib
import select
import socket
import socketserver
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from .control import ControlApi
from .dispatch import Dispatcher, Reply
from .model import ConnectionDropped

PAGE = Path(__file__).with_name("page.html")
LOOPBACK = ("127.0.0.1", "localhost")
PAGE_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline';"
        " connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none';"
        " frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
}


class Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 256

    def __init__(self, address: tuple[str, int], dispatcher: Dispatcher, control: ControlApi):
        self.dispatcher = dispatcher
        self.control = control
        self._connections: set[socket.socket] = set()
        self._guard = threading.Lock()
        super().__init__(address, Handler)

    def server_bind(self) -> None:
        # HTTPServer would ask DNS for the name of the host here, which can take seconds.
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = self.server_address[0], self.server_address[1]  # type: ignore[assignment]

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._guard:
            self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._guard:
            self._connections.discard(request)
        super().shutdown_request(request)

    def hang_up(self) -> None:
        """Cuts every open connection."""
        with self._guard:
            for connection in self._connections:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), OSError):  # clients may hang up as they like
            super().handle_error(request, client_address)


class Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"
    server_version = "nginx/1.18.0"
    sys_version = ""
    # An answer leaves in one piece: two small writes would wait for each other (Nagle).
    wbufsize = 64 * 1024
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def _serve(self) -> None:
        length = self.headers.get("Content-Length", "0")
        if "Transfer-Encoding" in self.headers or not length.isdigit():
            self.send_error(411)
            self.close_connection = True
            return
        body = self.rfile.read(int(length))
        try:
            reply = self._reply(body)
        except ConnectionDropped:
            self.close_connection = True
            with contextlib.suppress(OSError):
                self.connection.shutdown(socket.SHUT_RDWR)
            return
        self.send_response(reply.status)
        self.send_header("Content-Type", reply.content_type)
        self.send_header("Content-Length", str(len(reply.body)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(reply.body)
        self.wfile.flush()

    def _reply(self, body: bytes) -> Reply:
        parts = urlsplit(self.path)
        content_type = self.headers.get("Content-Type", "")
        if parts.path.startswith(("/bot", "/file/bot")):
            dispatcher = self.server.dispatcher
            return dispatcher.serve(parts.path, parts.query, content_type, body, self._is_connected)
        if not self._is_from_here():
            return Reply(403, b"only for this machine", "text/plain")
        if parts.path.startswith("/_control/"):
            name = parts.path.removeprefix("/_control/")
            return self.server.control.serve(self.command, name, parts.query, content_type, body)
        if parts.path == "/":
            return Reply(200, PAGE.read_bytes(), "text/html; charset=utf-8", PAGE_HEADERS)
        return Reply(404, b"Not Found", "text/plain")

    def _is_from_here(self) -> bool:
        """Keeps web pages of other places from pressing buttons here (DNS rebinding, CSRF)."""
        host = urlsplit(f"//{self.headers.get('Host', '')}")
        origin = self.headers.get("Origin")
        same_origin = origin is None or urlsplit(origin).netloc == host.netloc
        return host.hostname in LOOPBACK and same_origin

    def _is_connected(self) -> bool:
        readable, _, _ = select.select([self.connection], [], [], 0)
        if not readable:
            return True
        try:
            return bool(self.connection.recv(1, socket.MSG_PEEK))
        except OSError:
            return False

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing: the calls are kept in the state."""
