"""Programs from the npm registry, kept beside the virtual environment."""

import fcntl
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tools.process import ServiceError

_ROOT = Path(__file__).resolve().parents[1]
_TIMEOUT_SECONDS = 90.0


class NpmFolder:
    """A folder of its own for some packages, installed when first asked for."""

    def __init__(self, name: str, *packages: str) -> None:
        self.path = _ROOT / ".venv" / name
        self._packages = packages

    @property
    def modules(self) -> Path:
        """Where the packages are, once `install()` has run."""
        return self.path / "node_modules"

    @contextmanager
    def lock(self) -> Iterator[None]:
        """One process at a time."""
        self.path.mkdir(parents=True, exist_ok=True)
        with (self.path / "lock").open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def install(self) -> None:
        """Unless these very packages are there already; one process installs for all."""
        with self.lock():
            done, wanted = self.path / "installed.txt", "\n".join(self._packages)
            if not done.exists() or done.read_text() != wanted:
                self._install()
                done.write_text(wanted)

    def _install(self) -> None:
        npm, what = shutil.which("npm"), self._packages[0]
        if npm is None or shutil.which("node") is None:
            raise ServiceError(f"no {what}: install Node.js with npm")
        # The packages carry their programs: their install scripts would only look for them.
        options = ("--no-audit", "--no-fund", "--ignore-scripts", "--fetch-retries=1")
        command = [npm, "install", "--prefix", str(self.path), *options, "--loglevel=error"]
        try:
            done = subprocess.run(
                [*command, *self._packages],
                capture_output=True,
                text=True,
                check=False,
                timeout=_TIMEOUT_SECONDS,
            )
        except subprocess.TimeoutExpired as error:
            raise ServiceError(f"npm took over {_TIMEOUT_SECONDS:.0f} s for {what}") from error
        if done.returncode != 0:
            lines = done.stderr.strip().splitlines() or ["no reason given"]
            raise ServiceError(f"npm could not install {what}: {lines[0]}")
