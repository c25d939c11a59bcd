"""Proxies on loopback, HTTP and SOCKS 5, that note who was asked for."""

from __future__ import annotations

import base64
import contextlib
import selectors
import socket
import socketserver
import sys
import threading
from collections.abc import Mapping
from types import TracebackType
from typing import Any, ClassVar, Self
from urllib.parse import urlsplit

Target = tuple[str, int]
CONNECT_SECONDS = 10
SOCKS_OK, SOCKS_FAILED, SOCKS_NO_COMMAND, SOCKS_NO_ADDRESS = 0, 1, 7, 8


class Proxy(socketserver.ThreadingTCPServer):
    """`.url` holds the credentials when there are any; `.connections` the targets asked for.

    `hosts` says where names lead, so that a test can prove that the proxy resolves them.
    """

    scheme: ClassVar[str]
    handler: ClassVar[type[socketserver.BaseRequestHandler]]
    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False

    def __init__(
        self, user: str = "", password: str = "", hosts: Mapping[str, Target] | None = None
    ) -> None:
        super().__init__(("127.0.0.1", 0), self.handler)
        self.credentials = f"{user}:{password}" if user else ""
        self.hosts = dict(hosts or {})
        self.connections: list[Target] = []
        self.refused = 0  # requests with missing or wrong credentials
        login = f"{self.credentials}@" if user else ""
        self.url = f"{self.scheme}://{login}127.0.0.1:{self.server_address[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        self.shutdown()
        self.server_close()

    def open(self, host: str, port: int) -> socket.socket:
        self.connections.append((host, port))
        return socket.create_connection(self.hosts.get(host, (host, port)), CONNECT_SECONDS)

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), OSError | EOFError):  # either side may hang up
            super().handle_error(request, client_address)


def relay(left: socket.socket, right: socket.socket) -> None:
    """Carries bytes both ways until one side ends."""
    left.settimeout(None)
    right.settimeout(None)
    with selectors.DefaultSelector() as selector:
        selector.register(left, selectors.EVENT_READ, right)
        selector.register(right, selectors.EVENT_READ, left)
        while True:
            for key, _ in selector.select():
                source: socket.socket = key.fileobj  # type: ignore[assignment]
                content = source.recv(64 * 1024)
                if not content:
                    return
                key.data.sendall(content)


class HttpHandler(socketserver.StreamRequestHandler):
    server: HttpProxy

    def handle(self) -> None:
        verb, target, version = self.rfile.readline().decode("latin-1").split()
        lines = []
        while (line := self.rfile.readline()) not in (b"\r\n", b""):
            lines.append(line.decode("latin-1"))
        headers = {
            name.lower(): value.strip() for name, _, value in (x.partition(":") for x in lines)
        }
        given = headers.get("proxy-authorization", "").removeprefix("Basic ")
        if base64.b64decode(given).decode() != self.server.credentials:
            self.server.refused += 1
            self._answer('407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm="x"')
            return
        parts = urlsplit(f"//{target}" if verb == "CONNECT" else target)
        try:
            upstream = self.server.open(parts.hostname or "", parts.port or 80)
        except OSError:
            self._answer("502 Bad Gateway")
            return
        with upstream:
            if verb == "CONNECT":
                self.wfile.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            else:
                # One request for each connection: the next may have another target.
                hop = ("proxy-", "connection", "keep-alive")
                kept = [line for line in lines if not line.lower().startswith(hop)]
                path = f"{parts.path or '/'}{'?' if parts.query else ''}{parts.query}"
                head = f"{verb} {path} {version}\r\n{''.join(kept)}Connection: close\r\n\r\n"
                body = self.rfile.read(int(headers.get("content-length", "0")))
                upstream.sendall(head.encode("latin-1") + body)
            relay(self.connection, upstream)

    def _answer(self, status: str) -> None:
        head = f"HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        self.wfile.write(head.encode())


class HttpProxy(Proxy):
    """Forwards requests for http:// addresses, and carries CONNECT for the others."""

    scheme = "http"
    handler = HttpHandler


class Socks5Handler(socketserver.BaseRequestHandler):
    server: Socks5Proxy
    request: socket.socket

    def handle(self) -> None:
        _, count = self._read(2)
        method = 2 if self.server.credentials else 0
        is_offered = method in self._read(count)
        self.server.refused += not is_offered
        self.request.sendall(bytes([5, method if is_offered else 0xFF]))
        if not is_offered or (method == 2 and not self._is_let_in()):
            return
        _, command, _, kind = self._read(4)
        if kind not in (1, 3, 4):
            return self._reply(SOCKS_NO_ADDRESS)
        size = {1: 4, 4: 16}.get(kind) or self._read(1)[0]
        raw = self._read(size)
        family = {1: socket.AF_INET, 4: socket.AF_INET6}.get(kind)
        host = socket.inet_ntop(family, raw) if family else raw.decode("idna")
        port = int.from_bytes(self._read(2))
        if command != 1:
            return self._reply(SOCKS_NO_COMMAND)
        with contextlib.ExitStack() as stack:
            try:
                upstream = stack.enter_context(self.server.open(host, port))
            except OSError:
                return self._reply(SOCKS_FAILED)
            self._reply(SOCKS_OK)
            return relay(self.request, upstream)

    def _is_let_in(self) -> bool:
        """RFC 1929."""
        user = self._read(self._read(2)[1])
        password = self._read(self._read(1)[0])
        is_right = f"{user.decode()}:{password.decode()}" == self.server.credentials
        self.server.refused += not is_right
        self.request.sendall(bytes([1, 0 if is_right else 1]))
        return is_right

    def _reply(self, code: int) -> None:
        self.request.sendall(bytes([5, code, 0, 1, 0, 0, 0, 0, 0, 0]))

    def _read(self, size: int) -> bytes:
        content = b""
        while len(content) < size:
            chunk = self.request.recv(size - len(content))
            if not chunk:
                raise EOFError
            content += chunk
        return content


class Socks5Proxy(Proxy):
    """RFC 1928: CONNECT to addresses and names; socks5h:// makes clients leave names to it."""

    scheme = "socks5"
    handler = Socks5Handler
