"""etcd and nodes of Patroni, as deploy/ha has them, for runs in which a machine dies."""

import os
import pwd
import shutil
import signal
import urllib.request
from pathlib import Path
from typing import ClassVar

import sqlalchemy as sa

from tools.postgres import find_postgres
from tools.process import Server, ServiceError, free_port

_SHIPPED = Path(__file__).resolve().parents[1] / "deploy" / "ha" / "patroni.yml"


def missing_programs() -> str:
    """What is not installed of what Patroni needs; empty when all is there."""
    needed = {"patroni": "patroni", "etcd": "etcd-server"}
    return " ".join(package for name, package in needed.items() if not shutil.which(name))


class Etcd(Server):
    """One member, which is its own quorum: here it is not what dies."""

    kind: ClassVar[str] = "etcd"
    stop_signal: ClassVar[signal.Signals] = signal.SIGTERM
    kill_signal: ClassVar[signal.Signals] = signal.SIGKILL

    def __init__(self) -> None:
        super().__init__(None)

    def owner(self) -> None:
        """As whoever we are."""

    def prepare(self) -> None:
        """Nothing."""

    def command(self, port: int) -> list[str]:
        """In the foreground."""
        client, peer = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{free_port()}"
        options = {
            "data-dir": str(self.keeper.directory / "data"),
            "listen-client-urls": client,
            "advertise-client-urls": client,
            "listen-peer-urls": peer,
            "initial-advertise-peer-urls": peer,
            "initial-cluster": f"default={peer}",
            "unsafe-no-fsync": "true",
        }
        return [shutil.which("etcd") or "etcd", *(f"--{k}={v}" for k, v in options.items())]

    def is_ready(self, pid: int, port: int) -> bool:
        """It has a quorum."""
        return _answers(f"http://127.0.0.1:{port}/health")


class PatroniNode(Server):
    """Patroni with its PostgreSQL; `kill_machine` ends both at once, as when the power goes."""

    kind: ClassVar[str] = "patroni"
    stop_signal: ClassVar[signal.Signals] = signal.SIGTERM
    kill_signal: ClassVar[signal.Signals] = signal.SIGKILL

    def __init__(self, name: str, etcd: Etcd) -> None:
        super().__init__(None)
        self.name = name
        self._etcd = etcd
        self._postgres = find_postgres()
        self.postgres_port = free_port()

    def owner(self) -> tuple[int, int] | None:
        """PostgreSQL refuses to run as root."""
        if os.geteuid() != 0:
            return None
        account = pwd.getpwnam("postgres")
        return account.pw_uid, account.pw_gid

    def prepare(self) -> None:
        """Its file is written with the port, at the start."""

    def command(self, port: int) -> list[str]:
        """Patroni in the foreground."""
        folder = self.keeper.directory
        own = f"127.0.0.1:{self.postgres_port}"
        changes = {
            "name: node1": f"name: {self.name}",
            "127.0.0.1:2379": f"127.0.0.1:{self._etcd.port}",
            "127.0.0.1:8008": f"127.0.0.1:{port}",
            "  listen: 127.0.0.1:5432": f"  listen: {own}",
            "  connect_address: 127.0.0.1:5432": f"  connect_address: {own}",
            "/var/lib/postgresql/.pgpass-patroni": str(folder / "pgpass"),
            "/var/lib/postgresql/manga": str(folder / "data"),
            "/usr/lib/postgresql/15/bin": str(self._postgres.folder),
            "local all all peer": "local all all trust",
            "scram-sha-256": "trust",
            "      parameters:\n": "      parameters:\n        unix_socket_directories: ''\n",
        }
        text = _SHIPPED.read_text()
        for mine, theirs in changes.items():
            if mine not in text:
                raise ServiceError(f"{_SHIPPED.name} has no {mine!r}")
            text = text.replace(mine, theirs)
        file = folder / "patroni.yml"
        file.write_text(text)
        return [shutil.which("patroni") or "patroni", str(file)]

    def is_ready(self, pid: int, port: int) -> bool:
        """Its PostgreSQL runs, as primary or standby."""
        return _answers(f"http://127.0.0.1:{port}/health")

    @property
    def is_primary(self) -> bool:
        """Whether it holds the leader's key now."""
        return _answers(f"http://127.0.0.1:{self.port}/primary")

    @property
    def is_synchronous_standby(self) -> bool:
        """Whether what is acknowledged is here as well."""
        return _answers(f"http://127.0.0.1:{self.port}/synchronous")

    def kill_machine(self) -> None:
        """SIGKILL for both: nobody says good-bye to etcd or to clients."""
        pid_file = self.keeper.directory / "data" / "postmaster.pid"
        postmaster = int(pid_file.read_text().splitlines()[0])
        self.kill()
        for pid in [postmaster, *_children(postmaster)]:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue

    def close(self) -> None:
        """PostgreSQL is Patroni's child, and is ended with it."""
        if self.pid is not None:
            self.stop()
        super().close()

    def execute(self, statement: str) -> None:
        """At this node, as the superuser."""
        url = f"postgresql+psycopg2://postgres@127.0.0.1:{self.postgres_port}/postgres"
        engine = sa.create_engine(url, poolclass=sa.NullPool, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.exec_driver_sql(statement)


def _children(pid: int) -> list[int]:
    try:
        return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
