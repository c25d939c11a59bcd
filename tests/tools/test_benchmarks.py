"""`make bench` itself: what it reads of processes, what it seeds, what it makes of its rounds."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from benchmarks import load
from benchmarks.report import Row, growth, lines, table
from benchmarks.seed import seed
from benchmarks.servers import cpu_of, resident_of
from tests.deployment.processes import Web
from tests.standins.telegram import BotApiStandIn
from tests.support import base_settings
from tools.services import PostgresServer


def test_what_a_process_uses_is_read() -> None:
    before, until = cpu_of(os.getpid()), time.process_time() + 0.1
    while time.process_time() < until:
        sum(range(1000))
    assert 0.05 <= cpu_of(os.getpid()) - before < 5
    assert resident_of(os.getpid()) > 10 * 2**20
    assert cpu_of(2**22 + 1) == 0.0


def test_ratios_are_of_each_round_and_the_table_has_their_median() -> None:
    def row(server: str, number: int, cpu_us: float) -> Row:
        return Row(server, "status", 1000, number, 100, 0, cpu_us, 500.0, 2.0, 9.0, 80.0)

    rows = [row("bare", n, cpu) for n, cpu in enumerate((100, 200, 400))]
    rows += [row("manga_backend", n, cpu) for n, cpu in enumerate((180, 320, 800))]
    floor, ours = lines(rows)
    assert (floor.times_floor, ours.times_floor, ours.cpu_us) == (1.0, 1.8, 320.0)
    assert "1.80" in table([floor, ours])


def test_what_growth_costs_is_a_share() -> None:
    def row(users: int, number: int, cpu_us: float) -> Row:
        return Row("manga_backend", "status", users, number, 100, 0, cpu_us, 500.0, 2, 9, 80.0)

    rows = [row(1_000, n, cpu) for n, cpu in enumerate((200, 400, 100))]
    rows += [row(9_000, n, cpu) for n, cpu in enumerate((210, 400, 150))]
    rows += [row(5_000, n, 300) for n in range(3)]
    assert growth(rows).endswith("manga_backend  1.05")


@pytest.mark.parametrize(
    ("head", "body", "more"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n", b"body", 0),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n", b"bo", 2),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b"", 0),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"2\r\nhi\r\n0\r\n\r\n", 0),
    ],
)
def test_the_end_of_an_answer_is_seen(head: bytes, body: bytes, more: int) -> None:
    assert load.answer_size(head[:-1]) is None
    assert load.answer_size(head + body) == len(head) + len(body) + more


def test_seeded_readers_are_answered(
    postgres: PostgresServer, bot: BotApiStandIn, tmp_path: Path
) -> None:
    values = {**base_settings(tmp_path, bot), "DATABASE_URL": postgres.create_database("bench")}
    seeded = seed(values, 120)
    assert len(seeded.readers) == 56  # of 70, a fifth has not paid
    web = Web(values, tmp_path / "web.log")
    web.start()
    try:
        found = load.run(
            web.port,
            lambda n: load.request(
                "GET", "/api/user/status", seeded.readers[n % 56].access, number=n
            ),
            connections=4,
            seconds=60,
            most=40,
        )
    finally:
        web.stop()
        postgres.drop_database("bench")
    assert dict(found.statuses) == {200: 40}
    assert 0 < found.percentile(0.5) <= found.percentile(0.99)
