"""A PostgreSQL that follows another one by streaming replication."""

from tools.postgres import PostgresServer
from tools.process import ServiceError


class StandbyServer(PostgresServer):
    """A copy of `primary`, which must be running; it takes reads alone until it is promoted."""

    def __init__(self, primary: PostgresServer) -> None:
        super().__init__()
        self._primary = primary

    def prepare(self) -> None:
        """Copy the primary's files, with where it is to be followed."""
        super().prepare()  # for the programs; what it made gives way to the copy
        copy = self.keeper.directory / "copy"
        source = f"host=127.0.0.1 port={self._primary.port} user=app"
        made = self.keeper.ask(
            "run",
            argv=[
                *(str(self._bin / "pg_basebackup"), "-D", str(copy), "-d", source),
                *("-R", "-X", "stream", "-c", "fast", "--no-sync"),
            ],
        )
        if made["code"] != 0:
            raise ServiceError(f"pg_basebackup failed:\n{made['output']}")
        self._data.rename(self.keeper.directory / "unused")
        copy.rename(self._data)
