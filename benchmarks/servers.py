"""The servers that are compared, each with two processes, and what they use of the machine."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from manga_backend.kit.settings import ROOT
from tools.services import free_port

TICKS = os.sysconf("SC_CLK_TCK")
WORKERS = 2
OURS = "manga_backend"
PEERS = ROOT / ".venv-bench" / "bin" / "python"


@dataclass(frozen=True)
class Kind:
    """How one is started; `{port}` in its words is replaced."""

    name: str
    words: tuple[str, ...]
    environment: Mapping[str, str]
    paths: frozenset[str]


def kinds(ours: Mapping[str, str]) -> list[Kind]:
    """Ours and the peers, on one database and one key."""
    shared = {"PEER_DSN": ours["DATABASE_URL"], "JWT_SECRET_KEY": ours["JWT_SECRET_KEY"]}
    # A configuration of their own: ours lies where they start, and Gunicorn would take it.
    given = str(ROOT / "benchmarks" / "peers" / "gunicorn.conf.py")
    sync = ("-m", "gunicorn", "-c", given, "-w", str(WORKERS), "-b", "127.0.0.1:{port}")
    uvicorn = (
        *("-m", "uvicorn", "--workers", str(WORKERS), "--port", "{port}", "--loop", "uvloop"),
        *("--http", "httptools", "--log-level", "warning", "--no-access-log"),
        "benchmarks.peers.fastapi_app:app",
    )
    reads = frozenset({"status", "access"})
    writes = reads | {"payment"}
    return [
        Kind("bare", (str(PEERS), *sync, "benchmarks.peers.bare:app"), shared, reads),
        Kind(
            OURS,
            (sys.executable, "-m", "gunicorn", "-c", "gunicorn.conf.py", "wsgi:app"),
            {**ours, "BIND": "127.0.0.1:{port}", "WEB_CONCURRENCY": str(WORKERS)},
            writes | {"login", "refresh", "stats", "orders", "take", "webhook"},
        ),
        Kind("FastAPI tuned", (str(PEERS), *uvicorn), {**shared, "TUNED": "1"}, writes | {"login"}),
        Kind("FastAPI", (str(PEERS), *uvicorn), shared, writes | {"login"}),
        Kind("Django REST", (str(PEERS), *sync, "benchmarks.peers.drf_app:app"), shared, writes),
    ]


class Running:
    """One of them, while it runs."""

    def __init__(self, kind: Kind, log: Path) -> None:
        self.kind = kind
        self.port = free_port()
        given = {k: v.replace("{port}", str(self.port)) for k, v in kind.environment.items()}
        environment = {"PATH": os.environ["PATH"], "HOME": str(log.parent), **given}
        words = [word.replace("{port}", str(self.port)) for word in kind.words]
        began = time.perf_counter()
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                words, cwd=ROOT, env=environment, stdout=output, stderr=output
            )
        while not self._answers():
            if self.process.poll() is not None or time.perf_counter() - began > 30:
                raise RuntimeError(f"{kind.name} does not start: {log.read_text()[-2000:]}")
            time.sleep(0.02)
        self.start_seconds = time.perf_counter() - began

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=5) as one:
                one.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                return one.recv(12).startswith(b"HTTP/1.1")
        except OSError:
            return False

    def processes(self) -> list[int]:
        """The server and all that it started."""
        found, waiting = [], [self.process.pid]
        while waiting:
            pid = waiting.pop()
            found.append(pid)
            try:
                children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
            except OSError:
                continue
            waiting += [int(child) for child in children]
        return found

    def cpu_seconds(self) -> float:
        """User and system time of all of them so far."""
        return sum(map(cpu_of, self.processes()))

    def worker_megabytes(self) -> float:
        """Resident memory of the largest process."""
        return max(resident_of(pid) for pid in self.processes()) / 2**20

    def memory(self) -> list[tuple[int, int]]:
        """Resident and proportional MB (what is shared is divided) of each process, largest first:
        the workers, and what started them."""
        found = ((resident_of(pid), proportional_of(pid)) for pid in self.processes())
        return sorted(((rss >> 20, pss >> 20) for rss, pss in found), reverse=True)

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def cpu_of(pid: int) -> float:
    """utime + stime of /proc/PID/stat (proc(5)); 0 for one that has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / TICKS


def resident_of(pid: int) -> int:
    """Bytes."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def proportional_of(pid: int) -> int:
    """Bytes: PSS of /proc/PID/smaps_rollup."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) << 10 for line in lines if line.startswith("Pss:")), 0)


@contextmanager
def running(kind: Kind, log: Path) -> Iterator[Running]:
    """Ends what it started."""
    found = Running(kind, log)
    try:
        yield found
    finally:
        found.stop()
