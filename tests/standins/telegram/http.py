"""Just enough HTTP/1.1 for a server on loopback, at a fraction of what http.server costs."""

from __future__ import annotations

import socket
import time
from dataclasses import dataclass
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus
from urllib.parse import urlsplit

from .dispatch import Reply

LONGEST_HEAD = 64 * 1024
LONGEST_BODY = 50 * 1024 * 1024 + 64 * 1024  # a file of 50 MB, and the form around it
REASONS = {status.value: status.phrase for status in HTTPStatus}


@lru_cache(maxsize=2)
def http_date(second: int) -> str:
    return formatdate(second, usegmt=True)


@dataclass(slots=True)
class Request:
    """`headers` are keyed in small letters; of several with one name the last is kept."""

    verb: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes
    keep_alive: bool


class Refused(Exception):
    """A request that this server can't read; the answer is its status, and then the end."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class Connection:
    """Reads requests from a socket and writes answers to it, one after the other."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._read = b""  # received, and not yet used

    def read_request(self) -> Request | None:
        """None once the client has hung up. Raises Refused."""
        while (end := self._read.find(b"\r\n\r\n")) < 0:
            if len(self._read) > LONGEST_HEAD:
                raise Refused(431)
            if not self._receive():
                return None
        first, *lines = self._read[:end].decode("latin-1").split("\r\n")
        self._read = self._read[end + 4 :]
        words = first.split(" ")
        if len(words) != 3 or not words[2].startswith("HTTP/1."):
            raise Refused(400)
        verb, target, version = words
        if verb not in ("GET", "POST"):
            raise Refused(501)
        headers = {}
        for line in lines:
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        body = self._read_body(headers)
        if body is None:
            return None
        if not target.startswith("/"):
            parts = urlsplit(target)
            target = f"{parts.path or '/'}?{parts.query}"
        path, _, query = target.partition("?")
        default = "keep-alive" if version == "HTTP/1.1" else "close"
        keep_alive = headers.get("connection", default).lower() != "close"
        return Request(verb, path, query, headers, body, keep_alive)

    def _read_body(self, headers: dict[str, str]) -> bytes | None:
        given = headers.get("content-length", "0")
        if "transfer-encoding" in headers or not given.isdecimal():
            raise Refused(411)
        length = int(given)
        if length > LONGEST_BODY:
            raise Refused(413)
        if "expect" in headers and len(self._read) < length:
            self._socket.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        if len(self._read) < length:
            received = bytearray(self._read)
            while len(received) < length:
                chunk = self._socket.recv(min(length - len(received), 1 << 20))
                if not chunk:
                    return None
                received += chunk
            self._read = bytes(received)
        body, self._read = self._read[:length], self._read[length:]
        return body

    def _receive(self) -> bool:
        chunk = self._socket.recv(64 * 1024)
        self._read += chunk
        return bool(chunk)

    def write(self, reply: Reply, *, keep_alive: bool) -> None:
        """An answer leaves in one piece: two small writes would wait for each other (Nagle)."""
        more = "".join([f"{name}: {value}\r\n" for name, value in reply.headers.items()])
        if not keep_alive:
            more += "Connection: close\r\n"
        head = (
            f"HTTP/1.1 {reply.status} {REASONS.get(reply.status, 'Unknown')}\r\n"
            f"Server: nginx/1.18.0\r\nDate: {http_date(int(time.time()))}\r\n"
            f"Content-Type: {reply.content_type}\r\nContent-Length: {len(reply.body)}\r\n"
            f"Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n{more}\r\n"
        )
        self._socket.sendall(head.encode("latin-1") + reply.body)
