"""Servers that never outlive the Python process that started them: the base of both kinds."""

# Each server has a keeper (`tools.keeper`), a tiny process at the other end of a pipe. However we
# end, even by SIGKILL, the pipe closes and the keeper ends the server and removes its files.

import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
import weakref
from abc import ABC, abstractmethod
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Self

from tools import keeper

_START_TIMEOUT_SECONDS = 30.0
_STOP_TIMEOUT_SECONDS = 20.0
_PORT_ATTEMPTS = 5


class ServiceError(RuntimeError):
    """A server or its programs could not be found, started or reached."""


def free_port() -> int:
    """A loopback TCP port that nothing listens on.

    Taken from below Linux's range for outgoing connections (32768 and up), so that no client's own
    port can land on it while a server is down for a restart.
    """
    for _ in range(200):
        port = random.randrange(15_000, 32_000)
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise ServiceError("no free loopback port between 15000 and 32000")


class Keeper:
    """Our end of the pipe to one `tools.keeper` process."""

    def __init__(
        self, prefix: str, owner: tuple[int, int] | None, end_signal: signal.Signals
    ) -> None:
        """Start the keeper, which makes a directory owned by `owner` (user and group id)."""
        uid, gid = owner or (None, None)
        task = {"prefix": prefix, "uid": uid, "gid": gid, "end_signal": int(end_signal)}
        self._lock = threading.Lock()
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", keeper.__file__, json.dumps(task)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,  # Ctrl-C reaches us, not the keeper: we decide what happens.
        )
        self.close = weakref.finalize(self, _end_keeper, self._process)
        _keepers.add(self)
        self.directory = Path(self._read()["directory"])

    def ask(self, do: str, **details: object) -> dict[str, Any]:
        """Send one order, wait for its outcome; raises ServiceError with the keeper's reason."""
        with self._lock:
            try:
                assert self._process.stdin is not None
                self._process.stdin.write(json.dumps({"do": do, **details}) + "\n")
                self._process.stdin.flush()
                answer = self._read()
            except (OSError, ValueError) as error:
                raise ServiceError("the keeper of the server is gone") from error
        if "error" in answer:
            raise ServiceError(answer["error"])
        return answer

    def log_tail(self) -> str:
        """The last lines that the server wrote."""
        path = self.directory / keeper.LOG_NAME
        return "\n".join(path.read_text(errors="replace").splitlines()[-15:])

    def let_go(self) -> None:
        """In a forked child: drop the inherited pipe, or the keeper would wait for us as well."""
        self.close.detach()
        self._process.returncode = 0  # The keeper is not this process's child.
        in_use = self._lock.locked()  # By a thread that the fork did not bring along.
        self._lock = threading.Lock()
        with Path(os.devnull).open("r+b") as nothing:
            for pipe in (self._process.stdin, self._process.stdout):
                if pipe is None or pipe.closed:
                    continue
                os.dup2(nothing.fileno(), pipe.fileno(), inheritable=False)
                if not in_use:
                    pipe.close()

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise ServiceError("the keeper of the server ended; its reason stands above")
        answer: dict[str, Any] = json.loads(line)
        return answer


_keepers: weakref.WeakSet[Keeper] = weakref.WeakSet()


def _end_keeper(process: subprocess.Popen[str]) -> None:
    try:
        process.communicate(timeout=_STOP_TIMEOUT_SECONDS)
    except subprocess.TimeoutExpired:
        process.terminate()
        process.communicate()


def _let_go_of_keepers() -> None:
    for each in list(_keepers):
        each.let_go()
    _keepers.clear()


os.register_at_fork(after_in_child=_let_go_of_keepers)


class Server(ABC):
    """One private server on loopback; its port stays the same over restarts.

    `stop()` and `kill()` keep the files, so that `start()` goes on with them; `close()`, the end of
    the `with` block and the end of this process remove them.
    """

    kind: ClassVar[str]
    stop_signal: ClassVar[signal.Signals]
    kill_signal: ClassVar[signal.Signals]

    def __init__(self, port: int | None) -> None:
        """Take `port`, or a free one at the first start."""
        self._port = port
        self._pid: int | None = None
        self._keeper: Keeper | None = None

    @property
    def port(self) -> int:
        """The TCP port on 127.0.0.1; known from the first start on."""
        if self._port is None:
            raise ServiceError(f"{self.kind} has not been started yet")
        return self._port

    @property
    def pid(self) -> int | None:
        """The id of the running server, None while it is stopped."""
        return self._pid

    @property
    def keeper(self) -> Keeper:
        """The process that holds this server; there from `start()` to `close()`."""
        if self._keeper is None:
            raise ServiceError(f"{self.kind} has not been started yet")
        return self._keeper

    @abstractmethod
    def owner(self) -> tuple[int, int] | None:
        """User and group id to run as, None for our own."""

    @abstractmethod
    def prepare(self) -> None:
        """What must lie in the directory before the first start."""

    @abstractmethod
    def command(self, port: int) -> list[str]:
        """The program and its arguments, in the foreground."""

    @abstractmethod
    def is_ready(self, pid: int, port: int) -> bool:
        """Whether the process `pid`, and no stranger on the same port, accepts connections."""

    def start(self) -> Self:
        """Start and wait until connections are accepted; nothing happens if it runs already."""
        if self._pid is not None and self.keeper.ask("poll")["code"] is None:
            return self
        if self._keeper is not None:
            self._start_once_or_more()
            return self
        self._keeper = Keeper(f"manga-{self.kind}-", self.owner(), self.kill_signal)
        try:
            self.prepare()
            self._start_once_or_more()
        except BaseException:
            self.close()
            raise
        return self

    def _start_once_or_more(self) -> None:
        attempts = _PORT_ATTEMPTS if self._port is None else 1
        for _ in range(attempts):  # Somebody else may take a free port before our server does.
            port = self._port or free_port()
            pid: int = self.keeper.ask("start", argv=self.command(port))["pid"]
            if self._wait_until_ready(pid, port):
                self._pid, self._port = pid, port
                return
        raise ServiceError(f"{self.kind} did not start:\n{self.keeper.log_tail()}")

    def _wait_until_ready(self, pid: int, port: int) -> bool:
        deadline = time.monotonic() + _START_TIMEOUT_SECONDS
        while time.monotonic() < deadline:
            if self.is_ready(pid, port):
                return True
            if self.keeper.ask("poll")["code"] is not None:
                return False
            time.sleep(0.01)
        self._signal(self.kill_signal)
        raise ServiceError(
            f"{self.kind} was not ready in {_START_TIMEOUT_SECONDS:.0f} s:\n"
            f"{self.keeper.log_tail()}"
        )

    def _signal(self, number: signal.Signals) -> None:
        if self._keeper is None:
            return
        self._keeper.ask("stop", signal=int(number), timeout_seconds=_STOP_TIMEOUT_SECONDS)
        self._pid = None

    def stop(self) -> None:
        """Stop in order, as a careful administrator does; open connections are cut."""
        self._signal(self.stop_signal)

    def kill(self) -> None:
        """Crash it: no goodbye to clients, and what was not yet written is lost."""
        self._signal(self.kill_signal)

    def restart(self) -> Self:
        """Stop and start on the same port with the same data."""
        self.stop()
        return self.start()

    def close(self) -> None:
        """Stop and remove every trace; may be called twice."""
        if self._keeper is not None:
            self._keeper.close()
            self._keeper, self._pid = None, None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
