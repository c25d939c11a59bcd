"""The real thing in processes of its own: Gunicorn with several workers, and the RQ worker."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import requests

from manga_backend.kit.metrics_folder import FOLDER
from manga_backend.kit.settings import ROOT
from tools.services import free_port

READY_SECONDS = 30.0
STOP_SECONDS = 25.0


class Process:
    """One command with an environment and a log file; ends only what it started."""

    def __init__(self, command: list[str], settings: dict[str, str], log: Path) -> None:
        self.command = command
        self.settings = settings
        self.log = log
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.log.parent),
            FOLDER: str(self.log.parent / "metrics"),
            **self.settings,
        }
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                self.command, cwd=ROOT, env=environment, stdout=output, stderr=output
            )

    def kill(self) -> None:
        """kill -9"""
        assert self.process is not None
        self.process.kill()
        self.process.wait(STOP_SECONDS)

    def stop(self) -> int:
        """SIGTERM, as a process manager does."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise

    def lines(self) -> list[dict[str, Any]]:
        """The JSON lines of the log so far."""
        found = []
        whole, _, _being_written = self.log.read_text(errors="replace").rpartition("\n")
        for line in whole.splitlines():
            if line.startswith("{"):
                found.append(json.loads(line))
        return found

    def logged(self, words: str) -> list[dict[str, Any]]:
        """The JSON lines whose message has these words."""
        return [line for line in self.lines() if words in line["message"]]


class Web(Process):
    """`gunicorn -c gunicorn.conf.py wsgi:app`"""

    def __init__(self, settings: dict[str, str], log: Path) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        command = [sys.executable, "-m", "gunicorn", "-c", "gunicorn.conf.py", "wsgi:app"]
        super().__init__(command, {**settings, "BIND": f"127.0.0.1:{self.port}"}, log)

    def start(self) -> None:
        super().start()
        self.wait_until_ready()

    def wait_until_ready(self) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while time.monotonic() < deadline:
            assert self.process is not None
            assert self.process.poll() is None, self.log.read_text()[-3000:]
            try:
                if requests.get(f"{self.url}/health", timeout=2).ok:
                    return
            except requests.RequestException:
                time.sleep(0.1)
        raise AssertionError(f"not ready: {self.log.read_text()[-3000:]}")

    def leader(self, *, but: int | None = None, within: float = 15.0) -> int:
        """The process id of the worker that polls, once one that is not `but` says so."""
        deadline = time.monotonic() + within
        while time.monotonic() < deadline:
            said = [int(line["process"]) for line in self.logged("this process leads")]
            if said and said[-1] != but:
                return said[-1]
            time.sleep(0.1)
        raise AssertionError("nobody leads")

    def kill_all(self) -> None:
        """kill -9 of Gunicorn and all its workers, as when the machine kills for want of memory."""
        workers = self.workers()
        self.kill()
        for pid in workers:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def workers(self) -> list[int]:
        """The process ids of Gunicorn's children."""
        assert self.process is not None
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return [int(pid) for pid in children.read_text().split()]

    def call(
        self, method: str, path: str, token: str | None = None, json: Any = None, **headers: str
    ) -> requests.Response:
        """One request on a connection of its own, so that any worker may answer."""
        if token:
            headers["Authorization"] = f"Bearer {token}"
        return requests.request(method, self.url + path, json=json, headers=headers, timeout=20)

    def checks(self) -> dict[str, Any]:
        """What /health/ready says of each part."""
        found: dict[str, Any] = self.call("GET", "/health/ready").json()["checks"]
        return found


class Worker(Process):
    """`flask --app wsgi worker`"""

    def __init__(self, settings: dict[str, str], log: Path) -> None:
        super().__init__([sys.executable, "-m", "flask", "--app", "wsgi", "worker"], settings, log)

    def start(self) -> None:
        before = len(self.logged("the worker is ready")) if self.log.exists() else 0
        super().start()
        deadline = time.monotonic() + READY_SECONDS
        while time.monotonic() < deadline:
            if len(self.logged("the worker is ready")) > before:
                return
            time.sleep(0.1)
        raise AssertionError(f"the worker is not ready: {self.log.read_text()[-3000:]}")


class Live(Process):
    """`flask --app wsgi live`"""

    def __init__(self, settings: dict[str, str], log: Path) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        command = [sys.executable, "-m", "flask", "--app", "wsgi", "live"]
        super().__init__(command, {**settings, "LIVE_BIND": f"127.0.0.1:{self.port}"}, log)

    def start(self) -> None:
        super().start()
        deadline = time.monotonic() + READY_SECONDS
        while time.monotonic() < deadline:
            assert self.process is not None
            assert self.process.poll() is None, self.log.read_text()[-3000:]
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            time.sleep(0.1)
        raise AssertionError(f"not ready: {self.log.read_text()[-3000:]}")


def eventually(check: Any, within: float = 15.0, every: float = 0.1) -> Any:
    """The first true answer of `check`; AssertionError when there is none in time."""
    deadline = time.monotonic() + within
    while True:
        found = check()
        if found:
            return found
        assert time.monotonic() < deadline, f"still {found!r} after {within} s"
        time.sleep(every)
