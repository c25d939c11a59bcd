"""Copies of a whole database, by each database's own means."""

from __future__ import annotations

import gzip
import os
import shutil
import sqlite3
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import pyrage
from sqlalchemy import create_engine, make_url, text
from sqlalchemy.engine import URL
from sqlalchemy.pool import NullPool

from manga_backend.kernel.operations.errors import BackupFailed
from manga_backend.kit.db import new_id

ENCRYPTED = ".age"
DUMP_SECONDS = 6 * 3600
COMPRESSION = 6


def suffix_of(url: str) -> str:
    """Of a backup of this database."""
    return ".sqlite3.gz" if make_url(url).get_backend_name() == "sqlite" else ".dump"


def dump(url: str, file: Path, snapshot: str | None, programs: Path | None) -> None:
    """Write the whole database into a file that is not there yet. `snapshot`: the one that
    PostgreSQL exported, of whose moment it shall be. BackupFailed."""
    found = make_url(url)
    if found.get_backend_name() == "sqlite":
        _dump_sqlite(str(found.database), file)
        return
    arguments = ["--format=custom", f"--compress={COMPRESSION}", "--no-owner", "--no-privileges"]
    if snapshot:
        arguments.append(f"--snapshot={snapshot}")
    _run(found, programs, "pg_dump", [*arguments, f"--file={file}"])


def restore(file: Path, url: str, programs: Path | None) -> None:
    """Fill an empty database, all of it or nothing. BackupFailed."""
    found = make_url(url)
    if found.get_backend_name() == "sqlite":
        _restore_sqlite(file, Path(str(found.database)))
        return
    arguments = ["--no-owner", "--no-privileges", "--exit-on-error", "--single-transaction"]
    _run(found, programs, "pg_restore", [*arguments, f"--dbname={found.database}", str(file)])


@contextmanager
def scratch_database(url: str) -> Iterator[str]:
    """The address of an empty database beside this one, gone afterwards. BackupFailed when the role
    may not make one."""
    found = make_url(url)
    if found.get_backend_name() == "sqlite":
        with tempfile.TemporaryDirectory() as folder:
            yield f"sqlite:///{folder}/scratch.sqlite3"
        return
    name = f"backup_check_{new_id().hex}"
    engine = create_engine(url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    try:
        with engine.connect() as connection:
            connection.execute(text(f'CREATE DATABASE "{name}" TEMPLATE template0'))
    except Exception as error:
        first = str(error).splitlines()[0]
        raise BackupFailed(f"no database could be made to restore into: {first}") from None
    try:
        yield found.set(database=name).render_as_string(hide_password=False)
    finally:
        with engine.connect() as connection:
            connection.execute(text(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)'))


def encrypt(file: Path, to: Path, recipients: Sequence[str]) -> None:
    """In the age format, in pieces: nobody but who has one of the private keys can read it."""
    keys = [pyrage.x25519.Recipient.from_str(recipient) for recipient in recipients]
    try:
        pyrage.encrypt_file(str(file), str(to), keys)
    except (pyrage.EncryptError, OSError) as error:
        raise BackupFailed(f"it could not be encrypted: {error}") from None


def encrypt_bytes(content: bytes, recipients: Sequence[str]) -> bytes:
    """The same for something small."""
    keys = [pyrage.x25519.Recipient.from_str(recipient) for recipient in recipients]
    return bytes(pyrage.encrypt(content, keys))


@contextmanager
def opened(file: Path, identity: Path | None) -> Iterator[Path]:
    """The file as it was before it was encrypted, beside itself and gone afterwards; a file that is
    not encrypted is itself. BackupFailed without the right private key."""
    if file.suffix != ENCRYPTED:
        yield file
        return
    if identity is None:
        raise BackupFailed(f"{file.name} is encrypted: name the private key's file (--identity)")
    try:
        lines = identity.read_text().splitlines()
        words = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
        keys = [pyrage.x25519.Identity.from_str(word) for word in words]
    except (OSError, UnicodeDecodeError, pyrage.IdentityError):
        raise BackupFailed(f"{identity.name} holds no private key of age") from None
    with tempfile.TemporaryDirectory(dir=file.parent) as folder:
        plain = Path(folder) / file.name.removesuffix(ENCRYPTED)
        try:
            pyrage.decrypt_file(str(file), str(plain), keys)
        except (pyrage.DecryptError, OSError) as error:
            raise BackupFailed(f"{file.name} can't be decrypted: {error}") from None
        yield plain


def _dump_sqlite(database: str, file: Path) -> None:
    """SQLite's online backup: writers go on meanwhile."""
    with tempfile.TemporaryDirectory(dir=file.parent) as folder:
        copy = Path(folder) / "copy.sqlite3"
        try:
            with closing(sqlite3.connect(database)) as source, closing(sqlite3.connect(copy)) as to:
                source.backup(to)
        except sqlite3.Error as error:
            raise BackupFailed(str(error)) from None
        with copy.open("rb") as read, gzip.open(file, "wb", COMPRESSION) as written:
            shutil.copyfileobj(read, written)


def _restore_sqlite(file: Path, database: Path) -> None:
    """Over a file without tables, in one step."""
    unpacked = database.with_name(f".{database.name}.{new_id().hex}")
    try:
        with gzip.open(file, "rb") as read, unpacked.open("wb") as written:
            shutil.copyfileobj(read, written)
        with closing(sqlite3.connect(unpacked)) as found:
            (answer,) = found.execute("PRAGMA integrity_check").fetchone()
        if answer != "ok":
            raise BackupFailed(f"the file is damaged: {answer}")
        for extra in ("-wal", "-shm"):
            database.with_name(database.name + extra).unlink(missing_ok=True)
        unpacked.replace(database)
    except (OSError, EOFError, sqlite3.Error) as error:
        raise BackupFailed(f"the file is damaged: {error}") from None
    finally:
        unpacked.unlink(missing_ok=True)


def _run(url: URL, programs: Path | None, name: str, arguments: Sequence[str]) -> None:
    program = shutil.which(name, path=str(programs) if programs else None)
    if program is None:
        raise BackupFailed(f"there is no {name}: install PostgreSQL's client programs")
    try:
        done = subprocess.run(  # noqa: S603
            [program, *arguments],
            env=_environment(url),
            capture_output=True,
            text=True,
            timeout=DUMP_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise BackupFailed(f"{name} took longer than {DUMP_SECONDS} s") from None
    if done.returncode:
        raise BackupFailed(f"{name}: {' '.join(done.stderr.split())[:500]}")


def _environment(url: URL) -> dict[str, str]:
    """Never on the command line, where everybody on the machine reads a password. As the driver
    takes it: several hosts are a list."""
    _, found = url.get_dialect()().create_connect_args(url)
    values = {
        "PGHOST": found.get("host"),
        "PGPORT": found.get("port"),
        "PGUSER": found.get("user"),
        "PGPASSWORD": found.get("password"),
        "PGDATABASE": found.get("dbname") or found.get("database"),
        "PGSSLMODE": found.get("sslmode"),
        "PGTARGETSESSIONATTRS": found.get("target_session_attrs"),
        "PATH": os.defpath,
    }
    return {name: str(value) for name, value in values.items() if value}
