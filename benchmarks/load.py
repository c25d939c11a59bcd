"""Requests over so many connections at once; what making them costs is not counted."""

from __future__ import annotations

import contextlib
import itertools
import select
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

Request = Callable[[int], bytes]
"""The bytes of the n-th request."""
PATIENCE_SECONDS = 30
HEAD_END = b"\r\n\r\n"


@dataclass
class Outcome:
    """Statuses and times of one stretch."""

    seconds: float = 0.0
    statuses: Counter[int] = field(default_factory=Counter)
    times: list[float] = field(default_factory=list)

    @property
    def count(self) -> int:
        """How many were answered."""
        return len(self.times)

    def percentile(self, share: float) -> float:
        """In milliseconds."""
        ordered = sorted(self.times)
        return 1000 * ordered[min(int(len(ordered) * share), len(ordered) - 1)] if ordered else 0.0


def request(method: str, path: str, token: str = "", body: bytes = b"", number: int = 0) -> bytes:
    """As Nginx sends it on: with the address of a reader, each of another one."""
    address = f"10.{number // 65536 % 256}.{number // 256 % 256}.{number % 256}"
    lines = [
        f"{method} {path} HTTP/1.1",
        "Host: api.manga.example",
        f"X-Forwarded-For: {address}",
        "X-Forwarded-Proto: https",
        "Accept: application/json",
    ]
    if token:
        lines.append(f"Authorization: Bearer {token}")
    if body or method == "POST":
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, "", ""]).encode() + body


_numbers = itertools.count(1)


def run(port: int, make: Request, *, connections: int, seconds: float, most: int) -> Outcome:
    """Ask for `seconds`, or until `most` were asked. All are made before the clock starts: a slow
    asker would hold a synchronous worker, which waits until its client hangs up."""
    waiting = iter([make(next(_numbers)) for _ in range(most)])
    return _Run(port, waiting, seconds).ask(connections)


class _Line:
    """One connection, and how far its request is."""

    def __init__(self, port: int) -> None:
        self.socket = socket.socket()
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            self.socket.connect(("127.0.0.1", port))
        self.data = b""
        self.answer = b""
        self.asked = 0.0


class _Run:
    def __init__(self, port: int, waiting: Iterator[bytes], seconds: float) -> None:
        self._port = port
        self._waiting = waiting
        self._until = time.perf_counter() + seconds
        self._poll = select.epoll()
        self._lines: dict[int, _Line] = {}
        self._found = Outcome()

    def ask(self, connections: int) -> Outcome:
        began = time.perf_counter()
        for _ in range(connections):
            self._next(None)
        while self._lines:
            events = self._poll.poll(PATIENCE_SECONDS)
            if not events:
                raise TimeoutError(f"no answer within {PATIENCE_SECONDS} s")
            for descriptor, event in events:
                self._go_on(self._lines[descriptor], event)
        self._poll.close()
        self._found.seconds = time.perf_counter() - began
        return self._found

    def _next(self, line: _Line | None) -> None:
        """The next request, on the same connection where the server keeps it."""
        now = time.perf_counter()
        data = next(self._waiting, None) if now < self._until else None
        if data is None:
            if line is not None:
                self._forget(line)
            return
        if line is None:
            line = _Line(self._port)
            self._lines[line.socket.fileno()] = line
            self._poll.register(line.socket, select.EPOLLOUT)
            line.data = data
        else:
            line.socket.send(data)
        line.asked, line.answer = now, b""

    def _go_on(self, line: _Line, event: int) -> None:
        if event & select.EPOLLOUT:
            line.socket.send(line.data)
            self._poll.modify(line.socket, select.EPOLLIN)
            return
        got = line.socket.recv(65536)
        line.answer += got
        size = answer_size(line.answer)
        if got and (size is None or len(line.answer) < size):
            return
        if size is None:
            raise ConnectionError(f"an answer that breaks off: {line.answer[:200]!r}")
        self._found.times.append(time.perf_counter() - line.asked)
        self._found.statuses[int(line.answer[9:12])] += 1
        if b"connection: close" in line.answer.partition(HEAD_END)[0].lower():
            self._forget(line)
            self._next(None)
        else:
            self._next(line)

    def _forget(self, line: _Line) -> None:
        del self._lines[line.socket.fileno()]
        self._poll.unregister(line.socket)
        line.socket.close()


def answer_size(data: bytes) -> int | None:
    """Bytes of the whole answer that begins so; None as long as nobody can tell."""
    head, end, body = data.partition(HEAD_END)
    if not end:
        return None
    lower = head.lower()
    at = lower.find(b"\r\ncontent-length:")
    if at >= 0:
        return len(head) + 4 + int(lower[at + 17 :].partition(b"\r\n")[0])
    if b"transfer-encoding: chunked" in lower:
        return len(data) if body.endswith(b"0\r\n\r\n") else None
    return len(head) + 4  # 204
