"""One leader per deployment: whoever holds the lock polls Telegram and sees to schedules."""

from __future__ import annotations

import fcntl
import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import IO, Protocol

from flask import Flask
from sqlalchemy import Connection, text
from sqlalchemy.exc import SQLAlchemyError

from manga_backend.kit.alarms import DATABASE_AWAY, DATABASE_BACK
from manga_backend.kit.engines import direct_engine
from manga_backend.kit.logging import Outage
from manga_backend.kit.metrics import set_leading
from manga_backend.kit.settings import CoreSettings

log = logging.getLogger(__name__)

ADVISORY_KEY = 0x4D414E4741  # "MANGA"
TRY_SECONDS = 2.0
"""How often a follower tries and a leader proves its lock: takeover stays well below 10 s."""
STOP_SECONDS = 8.0
RESTART_SECONDS = 5.0


class Stop(threading.Event):
    """Tells a loop to end, and knows when the loop may simply be left where it is."""

    def __init__(self) -> None:
        super().__init__()
        self._idle: set[int] = set()

    @contextmanager
    def idle(self) -> Iterator[None]:
        """Around waiting with nothing in hand (a long poll): whoever stops need not wait for it."""
        me = threading.get_ident()
        self._idle.add(me)
        try:
            yield
        finally:
            self._idle.discard(me)

    def join(self, threads: Iterable[threading.Thread], seconds: float) -> None:
        """Wait until each thread has ended or is idle."""
        deadline = time.monotonic() + seconds
        for thread in threads:
            while thread.is_alive() and thread.ident not in self._idle:
                if time.monotonic() >= deadline:
                    return
                thread.join(0.05)


Duty = Callable[[Flask, Stop], None]
"""A loop that runs until told to stop; it pushes its own app contexts."""

_DUTIES = "kit.leader.duties"


class Lock(Protocol):
    """A lock that dies with its process."""

    def acquire(self) -> bool: ...
    def held(self) -> bool: ...
    def release(self) -> None: ...


class FileLock:
    """flock(2) on a file in the instance folder: for SQLite, where all share one machine."""

    def __init__(self, core: CoreSettings) -> None:
        self._path = core.instance_path / "leader.lock"
        self._file: IO[str] | None = None

    def acquire(self) -> bool:
        file = self._path.open("a")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.close()
            return False
        self._file = file
        return True

    def held(self) -> bool:
        return self._file is not None

    def release(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


class AdvisoryLock:
    """A session-level advisory lock of PostgreSQL on a connection of its own."""

    def __init__(self, core: CoreSettings) -> None:
        self._engine = direct_engine(
            core,
            "manga_backend leader",
            keepalives_idle=3,
            keepalives_interval=1,
            keepalives_count=3,
            tcp_user_timeout=5000,
        ).execution_options(isolation_level="AUTOCOMMIT")
        self._connection: Connection | None = None
        # Every web process asks every 2 s, also when no request comes: the best place to notice.
        self._outage = Outage(log, DATABASE_AWAY, DATABASE_BACK, alarm=True)

    def acquire(self) -> bool:
        connection = None
        try:
            connection = self._engine.connect()
            self._outage.ends()
            if connection.scalar(text("SELECT pg_try_advisory_lock(:key)"), {"key": ADVISORY_KEY}):
                self._connection = connection
                return True
        except SQLAlchemyError as error:
            self._outage.begins(str(error).splitlines()[0])
        if connection is not None:
            _close(connection)
        return False

    def held(self) -> bool:
        if self._connection is None:
            return False
        try:
            self._connection.execute(text("SELECT 1"))
        except SQLAlchemyError:
            self.release()
            return False
        return True

    def release(self) -> None:
        if self._connection is not None:
            _close(self._connection)
            self._connection = None


def _close(connection: Connection) -> None:
    try:
        connection.close()
    except SQLAlchemyError:
        connection.invalidate()


def add_duty(app: Flask, name: str, duty: Duty) -> None:
    """Let the leader run `duty`; a duty that raises is started again after 5 s."""
    app.extensions.setdefault(_DUTIES, {})[name] = duty


class Leadership:
    """Tries for the lock, runs the duties while it is held, and steps down when it is lost."""

    def __init__(self, app: Flask, core: CoreSettings) -> None:
        self._app = app
        sqlite = core.database_url.startswith("sqlite")
        self._lock: Lock = FileLock(core) if sqlite else AdvisoryLock(core)
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self.leading = False

    def start(self) -> None:
        """Run in a thread of this process."""
        self._thread = threading.Thread(target=self.run, name="leadership", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Step down and wait a little for the duties to finish what they have in hand."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(STOP_SECONDS)

    def run(self) -> None:
        """Lead or wait to lead until `stop()`."""
        while not self._stop.is_set():
            if self._lock.acquire():
                try:
                    self._lead()
                except Exception:
                    log.exception("leading failed")
                finally:
                    self.leading = False
                    set_leading(False)
                    self._lock.release()
            self._stop.wait(TRY_SECONDS)

    def _lead(self) -> None:
        self.leading = True
        set_leading(True)
        log.info("this process leads: it sees to Telegram's updates and to schedules")
        stepping_down = Stop()
        duties: dict[str, Duty] = self._app.extensions.get(_DUTIES, {})
        threads = [
            threading.Thread(
                target=keep_running,
                args=(self._app, name, duty, stepping_down),
                name=f"duty-{name}",
                daemon=True,
            )
            for name, duty in duties.items()
        ]
        for thread in threads:
            thread.start()
        try:
            while not self._stop.wait(TRY_SECONDS):
                if not self._lock.held():
                    log.warning("the leader lock is lost, stepping down")
                    return
        finally:
            stepping_down.set()
            stepping_down.join(threads, STOP_SECONDS)


def keep_running(app: Flask, name: str, duty: Duty, stop: Stop) -> None:
    """Run a loop until told to stop; one that raises is logged and started again after 5 s."""
    while not stop.is_set():
        try:
            duty(app, stop)
            return
        except Exception:
            log.exception("duty %s failed and starts again", name)
            with stop.idle():
                stop.wait(RESTART_SECONDS)
