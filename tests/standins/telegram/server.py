"""The HTTP server: Bot API, chat page, and below /_control/ the control API (see control.py)."""

from __future__ import annotations

import contextlib
import select
import socket
import socketserver
from pathlib import Path
from urllib.parse import urlsplit

from tests.standins.tcp import ConnectionServer

from .control import ControlApi
from .dispatch import Dispatcher, Reply
from .http import Connection, Refused, Request
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


class Server(ConnectionServer):
    def __init__(self, address: tuple[str, int], dispatcher: Dispatcher, control: ControlApi):
        self.dispatcher = dispatcher
        self.control = control
        super().__init__(address, Handler)


class Handler(socketserver.BaseRequestHandler):
    """One connection of a client, kept open from request to request."""

    server: Server
    request: socket.socket

    def handle(self) -> None:
        connection = Connection(self.request)
        keep_alive = True
        while keep_alive:
            try:
                request = connection.read_request()
                if request is None:
                    return
                reply, keep_alive = self._reply(request), request.keep_alive
            except Refused as refused:
                reply, keep_alive = Reply(refused.status, b"", "text/plain"), False
            except ConnectionDropped:
                with contextlib.suppress(OSError):
                    self.request.shutdown(socket.SHUT_RDWR)
                return
            connection.write(reply, keep_alive=keep_alive)

    def _reply(self, request: Request) -> Reply:
        path, query, body = request.path, request.query, request.body
        content_type = request.headers.get("content-type", "")
        if path.startswith(("/bot", "/file/bot")):
            dispatcher = self.server.dispatcher
            return dispatcher.serve(path, query, content_type, body, self._is_connected)
        if not is_from_here(request):
            return Reply(403, b"only for this machine", "text/plain")
        if path.startswith("/_control/"):
            name = path.removeprefix("/_control/")
            return self.server.control.serve(request.verb, name, query, content_type, body)
        if path == "/":
            return Reply(200, PAGE.read_bytes(), "text/html; charset=utf-8", PAGE_HEADERS)
        return Reply(404, b"Not Found", "text/plain")

    def _is_connected(self) -> bool:
        try:
            readable, _, _ = select.select([self.request], [], [], 0)
            return not readable or bool(self.request.recv(1, socket.MSG_PEEK))
        except (OSError, ValueError):  # closed already: it has no descriptor any more
            return False


def is_from_here(request: Request) -> bool:
    """Keeps web pages of other places from pressing buttons here (DNS rebinding, CSRF)."""
    host = urlsplit(f"//{request.headers.get('host', '')}")
    origin = request.headers.get("origin")
    same_origin = origin is None or urlsplit(origin).netloc == host.netloc
    return host.hostname in LOOPBACK and same_origin
