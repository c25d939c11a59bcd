"""Finds PgBouncer on PATH and runs one before a PostgreSQL, as deploy/ha has it."""

import shutil
import signal
import socket
from pathlib import Path
from typing import ClassVar

from tools.postgres import PostgresServer
from tools.process import Server, ServiceError

_SHIPPED = Path(__file__).resolve().parents[1] / "deploy" / "ha" / "pgbouncer.ini"


def find_pgbouncer() -> str | None:
    """The program, where it is installed."""
    return shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")


class PgBouncer(Server):
    """`deploy/ha/pgbouncer.ini` with this machine's addresses, without passwords."""

    kind: ClassVar[str] = "pgbouncer"
    stop_signal: ClassVar[signal.Signals] = signal.SIGINT
    kill_signal: ClassVar[signal.Signals] = signal.SIGKILL

    def __init__(self, postgres: PostgresServer, database: str) -> None:
        super().__init__(None)
        program = find_pgbouncer()
        if program is None:
            raise ServiceError("PgBouncer is not installed")
        self._program = program
        self._postgres = postgres
        self._database = database

    def owner(self) -> tuple[int, int] | None:
        """PgBouncer refuses to run as root."""
        return self._postgres.owner()

    def prepare(self) -> None:
        """It reads a list of users, though all are trusted."""
        (self.keeper.directory / "userlist.txt").write_text('"app" ""\n')

    def command(self, port: int) -> list[str]:
        """In the foreground, with its file beside its log."""
        folder = self.keeper.directory
        changes = {
            "manga = host=127.0.0.1 port=5432 dbname=manga": f"{self._database} = host=127.0.0.1"
            f" port={self._postgres.port} dbname={self._database}",
            "listen_port = 6432": f"listen_port = {port}",
            "auth_type = scram-sha-256": "auth_type = trust\nunix_socket_dir =",
            "/etc/pgbouncer/userlist.txt": str(folder / "userlist.txt"),
        }
        text = _SHIPPED.read_text()
        for mine, theirs in changes.items():
            if mine not in text:
                raise ServiceError(f"{_SHIPPED.name} has no line {mine!r}")
            text = text.replace(mine, theirs)
        (folder / "pgbouncer.ini").write_text(text)
        return [self._program, str(folder / "pgbouncer.ini")]

    def is_ready(self, pid: int, port: int) -> bool:
        """Whether it listens."""
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=1):
                return True
        except OSError:
            return False

    def url(self) -> str:
        """As DATABASE_URL spells it."""
        return f"postgresql://app@127.0.0.1:{self.port}/{self._database}"
