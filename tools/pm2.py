"""Finds PM2 on PATH, or installs it with npm, and runs a daemon of its own in a folder."""

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from tools.npm import NpmFolder
from tools.process import ServiceError

_NPM = NpmFolder("npm-pm2", "pm2@7.0.4")
_TIMEOUT_SECONDS = 60.0


def find_pm2() -> Path:
    """The program: `pm2` on PATH, else the one in the npm package, installed when first asked."""
    program = shutil.which("pm2")
    if program is not None:
        return Path(program)
    _NPM.install()
    return _NPM.modules / ".bin" / "pm2"


class Pm2:
    """A daemon with its own PM2_HOME: it sees and ends only what was started here."""

    def __init__(self, home: Path, environment: Mapping[str, str]) -> None:
        self.program = find_pm2()
        home.mkdir(parents=True, exist_ok=True)
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "PM2_HOME": str(home / ".pm2"),
            "PM2_KILL_SIGNAL": "SIGTERM",  # of the daemon: PM2's own is SIGINT
            **environment,
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.run("kill")

    def run(self, *arguments: str) -> str:
        """One command of PM2; ServiceError with its words when it fails."""
        done = subprocess.run(
            [self.program, *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=_TIMEOUT_SECONDS,
        )
        if done.returncode != 0:
            raise ServiceError(
                f"pm2 {' '.join(arguments)}: {done.stdout[-500:]}{done.stderr[-500:]}"
            )
        return done.stdout

    def pid(self, name: str) -> int:
        """Of one program; 0 while it does not run."""
        return int(self.run("pid", name).strip().splitlines()[-1] or 0)

    def programs(self) -> dict[str, Any]:
        """Name → what PM2 knows of it."""
        listed = self.run("jlist")
        return {one["name"]: one for one in json.loads(listed[listed.index("[") :])}
