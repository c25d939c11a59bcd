"""`make bench`: ours and the peers in turns on one database."""

from __future__ import annotations

import argparse
import json
import os
import platform
import secrets
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import load
from benchmarks.asking import PATHS, requests_of
from benchmarks.report import Row, growth, lines, table, write
from benchmarks.seed import Seeded, seed
from benchmarks.servers import OURS, Running, kinds, running
from manga_backend.kit.metrics_folder import FOLDER
from manga_backend.kit.settings import ROOT
from tests.standins.telegram import BotApiStandIn
from tools.services import PostgresServer, RedisServer

CONNECTIONS = 16
LOGINS_AT_ONCE = 4
SENDING, MESSAGES, MESSAGE_ROUNDS = ("drain", "broadcast"), 3000, 3
PAYMENT_KEY = secrets.token_hex(32)
DATABASE = {"shared_buffers": "1GB", "max_connections": "600"}
WARM_SECONDS = 3.0
FIRST_WARM, WARM = 2500, 200
"""Requests before the first round, and before each other one."""
Ends = dict[str, dict[str, Any]]
"""How long each server took to start, and what its processes hold in memory in the end."""
MOST_PER_SECOND = 6000
"""More than anything here answers on two cores."""


@dataclass
class Place:
    """A database of one size, and the servers on it."""

    users: int
    ours: dict[str, str]
    seeded: Seeded
    servers: list[Running]


def measure(server: Running, path: str, place: Place, number: int, seconds: float) -> Row:
    """One path of a running server, after a moment to warm up."""
    make = requests_of(path, place.seeded, PAYMENT_KEY)
    freshen = place.seeded.decide_all if path == "payment" else lambda: None
    freshen()
    connections = LOGINS_AT_ONCE if path == "login" else CONNECTIONS
    warm = FIRST_WARM if number == 0 else WARM
    load.run(server.port, make, connections=connections, seconds=WARM_SECONDS, most=warm)
    freshen()
    before = server.cpu_seconds()
    most = int(seconds * MOST_PER_SECOND)
    found = load.run(server.port, make, connections=connections, seconds=seconds, most=most)
    used = server.cpu_seconds() - before
    if any(status >= 400 for status in found.statuses):
        print(f"{server.kind.name}, {path}: answered {dict(found.statuses)}", flush=True)
    return Row(
        server.kind.name,
        path,
        place.users,
        number,
        found.count,
        sum(count for status, count in found.statuses.items() if status >= 400),
        1e6 * used / max(found.count, 1),
        found.count / found.seconds,
        found.percentile(0.5),
        found.percentile(0.99),
        server.worker_megabytes(),
    )


def compare(options: argparse.Namespace, folder: Path) -> tuple[list[Row], dict[int, Ends]]:
    """Seed each size, start all servers, and ask them in turns: on each path one after the other,
    on each size, so that whatever else the machine does meets all of them."""
    with ExitStack() as stack:
        postgres = stack.enter_context(PostgresServer(durable=True, settings=DATABASE))
        redis = stack.enter_context(RedisServer())
        places = []
        for number, users in enumerate(options.users):
            bot = stack.enter_context(BotApiStandIn(open_chats=True))
            dsn = postgres.create_database(f"bench{users}")
            (own := folder / str(users)).mkdir()
            ours = settings_of_ours(own, dsn, redis.url(number), bot.url)
            seeded = seed(ours, users)
            print(f"seeded {users:,} users in {seeded.seconds:.0f} s", flush=True)
            places.append(Place(users, ours, seeded, []))
        rows: list[Row] = []
        ends: dict[int, Ends] = {}
        if set(options.only) & set(PATHS):
            with ExitStack() as up:
                for place in places:
                    start_all(options, place, folder / str(place.users), up)
                rows += in_turns(options, places)
                ends = {place.users: ends_of(place) for place in places}
        for number in range(MESSAGE_ROUNDS):
            for what in SENDING:
                if what in options.only:
                    rows += [send(what, place, number) for place in places]
    return rows, ends


def start_all(options: argparse.Namespace, place: Place, folder: Path, up: ExitStack) -> None:
    """The servers that were asked for."""
    for kind in kinds(place.ours):
        if not options.servers or kind.name in options.servers:
            log = folder / f"{kind.name.replace(' ', '-')}.log"
            place.servers.append(up.enter_context(running(kind, log)))


def in_turns(options: argparse.Namespace, places: list[Place]) -> list[Row]:
    """All servers of all sizes, on each path one after the other."""
    rows: list[Row] = []
    time.sleep(2)
    for number in range(options.rounds):
        for path in PATHS:
            for place in places:
                for server in place.servers:
                    if path in server.kind.paths & set(options.only):
                        rows.append(measure(server, path, place, number, options.seconds))
        print(f"round {number + 1} of {options.rounds}", flush=True)
    return rows


def ends_of(place: Place) -> Ends:
    """Of each server."""
    return {
        server.kind.name: {
            "ready_after_seconds": round(server.start_seconds, 2),
            "processes_mb": server.memory(),
        }
        for server in place.servers
    }


def send(what: str, place: Place, number: int) -> Row:
    """Messages in place of requests; Telegram's limit is lifted, or it would be the measure."""
    count = min(MESSAGES, place.users // 2)
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.sending", what, str(count)],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], **place.ours, "TELEGRAM_MAX_PER_SECOND": "100000"},
        stdout=subprocess.PIPE,
        check=True,
        timeout=300,
    )
    found = json.loads(done.stdout.splitlines()[-1])
    sent, seconds = found["sent"], found["seconds"]
    used = 1e6 * found["cpu_seconds"] / max(sent, 1)
    return Row(OURS, what, place.users, number, sent, count - sent, used, sent / seconds, 0, 0, 0)


def settings_of_ours(folder: Path, dsn: str, redis_url: str, bot_url: str) -> dict[str, str]:
    """As it is deployed: nothing is switched off."""
    return {
        "APP_ENV": "production",
        "PRODUCTS": "all",
        "INSTANCE_PATH": str(folder / "instance"),
        "DATABASE_URL": dsn,
        "REDIS_URL": redis_url,
        **{name: secrets.token_urlsafe(48) for name in ("SECRET_KEY", "ADMIN_SECRET")},
        "JWT_SECRET_KEY": secrets.token_urlsafe(48),
        "JWT_ACCESS_MIN": "600",
        "TRUSTED_PROXIES": "1",
        "TELEGRAM_BOT_TOKEN": "1000:stand-in",
        "TELEGRAM_API_URL": bot_url,
        "TELEGRAM_ADMIN_IDS": "900001",
        "BACKUP_HOURS": "0",
        "CRYPTOMUS_MERCHANT_ID": "bench",
        "CRYPTOMUS_PAYMENT_KEY": PAYMENT_KEY,
        "PUBLIC_URL": "https://api.manga.example",
        FOLDER: str(folder / "metrics"),
    }


def main() -> None:
    """Print the table; write benchmarks/results/."""
    parser = argparse.ArgumentParser(prog="make bench ARGS=…")
    parser.add_argument("--users", type=int, nargs="+", default=[100_000])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument(
        "--only", nargs="+", choices=(*PATHS, *SENDING), default=(*PATHS, *SENDING), help="paths"
    )
    parser.add_argument("--servers", nargs="+", help="names, as in the table")
    parser.add_argument("--growth", action="store_true", help="1,000, 100,000 and 1,000,000 users")
    options = parser.parse_args()
    if options.growth:
        options.users = [1_000, 100_000, 1_000_000]
    with tempfile.TemporaryDirectory(prefix="manga-bench-") as folder:
        rows, ends = compare(options, Path(folder))
    print(table(lines(rows)))
    if len(options.users) > 1:
        print(growth(rows))
    for name, end in ends.get(options.users[-1], {}).items():
        held = ", ".join(f"{rss} ({pss})" for rss, pss in end["processes_mb"])
        print(f"{name}: answers {end['ready_after_seconds']} s after its start;", end=" ")
        print(f"its processes hold {held} MB resident (proportional)")
    about = {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "rounds": options.rounds,
        "seconds": options.seconds,
        "connections": CONNECTIONS,
        "servers": ends,
    }
    write(rows, ROOT / "benchmarks" / "results", about)


if __name__ == "__main__":
    main()
