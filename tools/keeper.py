"""The small process that holds one server and its directory and ends both with its parent."""

# `tools.process` starts this file as a script, without site-packages, so it imports the standard
# library only. One JSON order per line comes in on standard input. End of input, which is also what
# a parent's death by SIGKILL looks like, means: end the server, remove the directory.

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from types import FrameType
from typing import Any

LOG_NAME = "server.log"
_PATIENCE_SECONDS = 6.0


class _Keeper:
    """One directory, at most one running server in it, both owned by `uid`:`gid` (None: by us)."""

    def __init__(self, prefix: str, uid: int | None, gid: int | None, end_signal: int) -> None:
        self._uid, self._gid, self._end_signal = uid, gid, end_signal
        # No variable may steer the server from outside (PGDATA, PGPORT, LC_ALL, ...).
        kept = {name: text for name, text in os.environ.items() if not name.startswith("PG")}
        self._environment = {**kept, "LC_ALL": "C"}
        self._server: subprocess.Popen[bytes] | None = None
        self.directory = self._fresh_directory(prefix)

    def _as_owner(self) -> dict[str, Any]:
        """The keyword arguments that make subprocess drop root's rights for the owner's."""
        groups: list[int] | None = None if self._uid is None else []
        return {"user": self._uid, "group": self._gid, "extra_groups": groups}

    def _fresh_directory(self, prefix: str) -> Path:
        """A new 0700 directory that its owner can reach; no existing directory is changed."""
        for base in dict.fromkeys((tempfile.gettempdir(), "/tmp", "/var/tmp")):
            try:
                path = tempfile.mkdtemp(prefix=prefix, dir=base)
            except OSError:
                continue
            if self._uid is None or self._gid is None:
                return Path(path)
            os.chown(path, self._uid, self._gid)
            reach = subprocess.run(["test", "-w", path], check=False, cwd="/", **self._as_owner())
            if reach.returncode == 0:
                return Path(path)
            Path(path).rmdir()
        raise SystemExit("no temporary directory that the server's user can reach")

    def obey(self, order: dict[str, Any]) -> dict[str, Any]:
        """Carry out one order and say what came of it."""
        match order["do"]:
            case "run":
                return self._run(order["argv"])
            case "start":
                return self._start(order["argv"])
            case "poll":
                return {"code": None if self._server is None else self._server.poll()}
            case "stop":
                self._stop(order["signal"], order["timeout_seconds"])
                return {}
            case unknown:
                return {"error": f"unknown order {unknown!r}"}

    def _run(self, argv: list[str]) -> dict[str, Any]:
        try:
            done = subprocess.run(
                argv,
                check=False,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env=self._environment,
                cwd=self.directory,
                **self._as_owner(),
            )
        except OSError as error:
            return {"code": 127, "output": str(error)}
        return {"code": done.returncode, "output": done.stdout.decode(errors="replace")}

    def _start(self, argv: list[str]) -> dict[str, Any]:
        if self._server is not None and self._server.poll() is None:
            return {"error": "the server is running already"}
        with (self.directory / LOG_NAME).open("ab") as log:
            try:
                self._server = subprocess.Popen(
                    argv,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env=self._environment,
                    cwd=self.directory,
                    start_new_session=True,
                    **self._as_owner(),
                )
            except OSError as error:
                return {"error": str(error)}
        return {"pid": self._server.pid}

    def _stop(self, number: int, timeout_seconds: float) -> None:
        server = self._server
        if server is None or server.poll() is not None:
            return
        server.send_signal(number)
        try:
            server.wait(timeout_seconds)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, signal.SIGKILL)
            server.wait()

    def close(self) -> None:
        """Leave nothing behind."""
        self._stop(self._end_signal, _PATIENCE_SECONDS)
        shutil.rmtree(self.directory, ignore_errors=True)


def _leave(_number: int, _frame: FrameType | None) -> None:
    raise SystemExit(0)


def _answer(words: dict[str, Any]) -> None:
    print(json.dumps(words), flush=True)


def main() -> None:
    """Serve the parent's orders until its end of the pipe closes."""
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, _leave)
    keeper = _Keeper(**json.loads(sys.argv[1]))
    try:
        _answer({"directory": str(keeper.directory)})
        for line in iter(sys.stdin.readline, ""):
            _answer(keeper.obey(json.loads(line)))
    except BrokenPipeError:
        sys.stdout = None  # The parent went while we answered; nothing is left to flush.
    finally:
        keeper.close()


if __name__ == "__main__":
    main()
