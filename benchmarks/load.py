"""Requests over so many connections at once; what making them costs is not counted."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

Request = Callable[[int], bytes]
"""The bytes of the n-th request."""


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


def run(port: int, make: Request, *, connections: int, seconds: float, most: int = 0) -> Outcome:
    """Ask for `seconds`, or until `most` were asked (0: no such bound)."""
    return asyncio.run(_run(port, make, connections, seconds, most))


async def _run(port: int, make: Request, connections: int, seconds: float, most: int) -> Outcome:
    found = Outcome()
    began = time.perf_counter()
    left = itertools.count(1)

    async def ask() -> None:
        reader = writer = None
        while time.perf_counter() - began < seconds and (not most or next(left) <= most):
            data = make(next(_numbers))
            asked = time.perf_counter()
            if writer is None:
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(data)
            status, keeps = await _answer(reader)
            found.times.append(time.perf_counter() - asked)
            found.statuses[status] += 1
            if not keeps:
                writer.close()
                reader = writer = None
        if writer is not None:
            writer.close()

    await asyncio.gather(*(ask() for _ in range(connections)))
    found.seconds = time.perf_counter() - began
    return found


async def _answer(reader: asyncio.StreamReader | None) -> tuple[int, bool]:
    assert reader is not None
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    status = int(head[9:12])
    at = head.find(b"content-length:")
    if at >= 0:
        length = int(head[at + 15 : head.index(b"\r\n", at)])
        if length:
            await reader.readexactly(length)
    elif b"transfer-encoding: chunked" in head:
        while size := int(await reader.readline(), 16):
            await reader.readexactly(size + 2)
        await reader.readline()
    return status, b"connection: close" not in head
