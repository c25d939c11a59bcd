"""One table, a JSON file, and a chart."""

from __future__ import annotations

import json
import statistics
import subprocess
from collections import defaultdict
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.servers import PEERS

FLOOR = "bare"


@dataclass(frozen=True)
class Row:
    """One server, one path, one round."""

    server: str
    path: str
    users: int
    round: int
    requests: int
    faults: int
    cpu_us: float
    per_second: float
    p50_ms: float
    p99_ms: float
    worker_mb: float


@dataclass(frozen=True)
class Line:
    """The medians of a server's rounds on one path; ratios are taken within each round."""

    path: str
    server: str
    users: int
    cpu_us: float
    times_floor: float | None
    per_second: float
    p50_ms: float
    p99_ms: float
    worker_mb: float
    faults: int


def lines(rows: list[Row]) -> list[Line]:
    """In the order in which they were measured."""
    grouped: dict[tuple[int, str, str], list[Row]] = defaultdict(list)
    for row in rows:
        grouped[row.users, row.path, row.server].append(row)
    floors = {(r.users, r.path, r.round): r.cpu_us for r in rows if r.server == FLOOR}

    def median(of: list[Row], name: str) -> float:
        return statistics.median(float(getattr(row, name)) for row in of)

    found = []
    for (users, path, server), of in grouped.items():
        ratios = [
            row.cpu_us / floors[users, path, row.round]
            for row in of
            if (users, path, row.round) in floors
        ]
        found.append(
            Line(
                path,
                server,
                users,
                median(of, "cpu_us"),
                statistics.median(ratios) if ratios else None,
                median(of, "per_second"),
                median(of, "p50_ms"),
                median(of, "p99_ms"),
                max(row.worker_mb for row in of),
                sum(row.faults for row in of),
            )
        )
    return found


def table(found: list[Line]) -> str:
    """For people."""
    head = f"{'path':9} {'server':14} {'users':>8} {'CPU µs':>8} {'× floor':>8} {'req/s':>7}"
    head += f" {'p50 ms':>7} {'p99 ms':>7} {'MB':>5} {'faults':>6}"
    out = [head, "-" * len(head)]
    for one in found:
        ratio = f"{one.times_floor:.2f}" if one.times_floor else ""
        out.append(
            f"{one.path:9} {one.server:14} {one.users:>8} {one.cpu_us:>8.0f} {ratio:>8}"
            f" {one.per_second:>7.0f} {one.p50_ms:>7.1f} {one.p99_ms:>7.1f} {one.worker_mb:>5.0f}"
            f" {one.faults:>6}"
        )
    return "\n".join(out)


def growth(rows: list[Row]) -> str:
    """What a path costs with the most users, as a share of what it costs with the fewest: taken
    within each round, then the median."""
    few, most = min(row.users for row in rows), max(row.users for row in rows)
    small = {(r.path, r.server, r.round): r for r in rows if r.users == few}
    shares: dict[tuple[str, str], list[float]] = defaultdict(list)
    for row in rows:
        if row.users == most:
            before = small[row.path, row.server, row.round]
            shares[row.path, row.server].append(row.cpu_us / before.cpu_us)
    out = [f"CPU with {most:,} users as a share of that with {few:,}:"]
    for (path, server), found in shares.items():
        out.append(f"{path:9} {server:14} {statistics.median(found):.2f}")
    return "\n".join(out)


def write(rows: list[Row], folder: Path, about: dict[str, object]) -> None:
    """results.json and chart.png."""
    folder.mkdir(parents=True, exist_ok=True)
    found = [asdict(line) for line in lines(rows)]
    body = {"about": about, "lines": found, "rows": [asdict(row) for row in rows]}
    (folder / "results.json").write_text(json.dumps(body, indent=1) + "\n")
    subprocess.run([str(PEERS), "-m", "benchmarks.chart", str(folder)], check=True)
