"""`make bench`: ours and the peers in turns on one database."""

from __future__ import annotations

import argparse
import os
import platform
import secrets
import tempfile
import time
from pathlib import Path

from benchmarks import load
from benchmarks.asking import PATHS, requests_of
from benchmarks.report import Row, lines, table, write
from benchmarks.seed import Seeded, seed
from benchmarks.servers import Kind, Running, kinds, running
from manga_backend.kit.metrics_folder import FOLDER
from manga_backend.kit.settings import ROOT
from tests.standins.telegram import BotApiStandIn
from tools.services import PostgresServer, RedisServer

CONNECTIONS = 16
LOGINS_AT_ONCE = 4
PAYMENT_KEY = secrets.token_hex(32)
WARM_SECONDS = 0.7
MOST_PER_SECOND = 6000
"""More than anything here answers on two cores."""


def measure(
    server: Running, path: str, seeded: Seeded, users: int, number: int, seconds: float
) -> Row:
    """One path of a running server, after a moment to warm up."""
    make = requests_of(path, seeded, PAYMENT_KEY)
    connections = LOGINS_AT_ONCE if path == "login" else CONNECTIONS
    load.run(server.port, make, connections=connections, seconds=WARM_SECONDS, most=1000)
    before = server.cpu_seconds()
    found = load.run(
        server.port,
        make,
        connections=connections,
        seconds=seconds,
        most=int(seconds * MOST_PER_SECOND),
    )
    used = server.cpu_seconds() - before
    if any(status >= 400 for status in found.statuses):
        print(f"{server.kind.name}, {path}: answered {dict(found.statuses)}", flush=True)
    good = sum(count for status, count in found.statuses.items() if status < 400)
    return Row(
        server.kind.name,
        path,
        users,
        number,
        found.count,
        found.count - good,
        1e6 * used / max(found.count, 1),
        found.count / found.seconds,
        found.percentile(0.5),
        found.percentile(0.99),
        server.worker_megabytes(),
    )


def compare(options: argparse.Namespace, users: int, wanted: set[str], folder: Path) -> list[Row]:
    """Seed `users`, then each server in turns, `rounds` times."""
    rows: list[Row] = []
    with (
        PostgresServer(durable=True, settings={"shared_buffers": "1GB"}) as postgres,
        RedisServer() as redis,
        BotApiStandIn(open_chats=True) as bot,
    ):
        dsn = postgres.create_database("bench")
        ours = {
            "APP_ENV": "production",
            "PRODUCTS": "all",
            "INSTANCE_PATH": str(folder / "instance"),
            "DATABASE_URL": dsn,
            "REDIS_URL": redis.url(),
            **{name: secrets.token_urlsafe(48) for name in ("SECRET_KEY", "ADMIN_SECRET")},
            "JWT_SECRET_KEY": secrets.token_urlsafe(48),
            "JWT_ACCESS_MIN": "600",
            "TRUSTED_PROXIES": "1",
            "TELEGRAM_BOT_TOKEN": "1000:stand-in",
            "TELEGRAM_API_URL": bot.url,
            "TELEGRAM_ADMIN_IDS": "900001",
            "BACKUP_HOURS": "0",
            "CRYPTOMUS_MERCHANT_ID": "bench",
            "CRYPTOMUS_PAYMENT_KEY": PAYMENT_KEY,
            "PUBLIC_URL": "https://api.manga.example",
            FOLDER: str(folder / "metrics"),
        }
        seeded = seed(ours, users)
        print(f"seeded {users:,} users in {seeded.seconds:.0f} s", flush=True)
        for number in range(options.rounds):
            for kind in kinds(ours, dsn):
                if options.servers and kind.name not in options.servers:
                    continue
                rows += _round(kind, wanted, seeded, users, number, options.seconds, folder)
    return rows


def _round(
    kind: Kind,
    wanted: set[str],
    seeded: Seeded,
    users: int,
    number: int,
    seconds: float,
    folder: Path,
) -> list[Row]:
    with running(kind, folder / f"{kind.name.replace(' ', '-')}.log") as server:
        if number == 0:
            print(f"{kind.name}: ready in {server.start_seconds:.2f} s", flush=True)
        time.sleep(1)
        return [
            measure(server, path, seeded, users, number, seconds)
            for path in PATHS
            if path in kind.paths & wanted
        ]


def main() -> None:
    """Print the table; write benchmarks/results/."""
    parser = argparse.ArgumentParser(prog="make bench ARGS=…")
    parser.add_argument("--users", type=int, nargs="+", default=[100_000])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--only", nargs="+", choices=PATHS, help="paths")
    parser.add_argument("--servers", nargs="+", help="names, as in the table")
    parser.add_argument("--growth", action="store_true", help="1,000, 100,000 and 1,000,000 users")
    options = parser.parse_args()
    sizes = [1_000, 100_000, 1_000_000] if options.growth else options.users
    wanted = set(options.only or PATHS)
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="manga-bench-") as folder:
        for users in sizes:
            rows += compare(options, users, wanted, Path(folder))
    found = lines(rows)
    print(table(found))
    about = {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "rounds": options.rounds,
        "seconds": options.seconds,
        "connections": CONNECTIONS,
    }
    write(rows, ROOT / "benchmarks" / "results", about)


if __name__ == "__main__":
    main()
