"""Alarms: faults that are logged are told to people, grouped by place, without a flood.

Told are: records of level ERROR and above that carry an exception, threads that die of one, and
outages that are marked for it, when they begin and when they end (kit/logging.py).
"""

from __future__ import annotations

import atexit
import logging
import os
import socket
import threading
import traceback
import weakref
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from types import TracebackType

from flask import Flask, current_app, has_app_context, has_request_context, request
from sqlalchemy.exc import InterfaceError, OperationalError

from manga_backend.kit import clock
from manga_backend.kit.alarm_limits import Limits
from manga_backend.kit.i18n import N_
from manga_backend.kit.logging import current_request_id, masker
from manga_backend.kit.metrics import count_fault
from manga_backend.kit.settings import ROOT, CoreSettings

log = logging.getLogger(__name__)

DATABASE_AWAY = N_("The database is away")
DATABASE_BACK = N_("The database answers again")

MAX_WHAT = 300
MAX_DURING = 200
MAX_PLACES_AT_ONCE = 100
PACE_SECONDS = 1.0
"""Between two messages: what Telegram wants of one chat; repetitions are gathered meanwhile."""
FLUSH_SECONDS = 2.0
LOOK_AGAIN_SECONDS = 5.0
"""At an outage that began again too soon to be told: whether it lasts."""

_SLOT = "kit.alarms"


@dataclass(frozen=True, slots=True)
class Alarm:
    """One fault as it is told; texts are masked and short.

    `place` is what faults are grouped by. `notice` is a message id, where the fault has a name
    of its own. `count`: how often it happened since it was told last, this time included.
    `held_back`: how many faults at other places were too many to be told. `outage`: somebody
    watches it, and tells with `over` that it has ended.
    """

    place: str
    what: str
    where: str
    during: str
    request_id: str
    process: str
    at: datetime
    notice: str = ""
    count: int = 1
    held_back: int = 0
    outage: bool = False
    over: bool = False


Tell = Callable[[Alarm], None]
"""Runs in an app context of the alarm thread; raises when nobody could be told."""

closing = threading.Event()
"""Set when the process ends: who waits to try again gives up."""


@dataclass(frozen=True, slots=True)
class _Installed:
    tell: Tell
    has_database: Callable[[], bool]
    limits: Limits


def install(
    app: Flask, core: CoreSettings, tell: Tell, has_database: Callable[[], bool] = lambda: True
) -> None:
    """Have the faults of this app told by `tell`. Starts no thread: the first alarm does.

    `has_database` is asked, in an app context, before people are told that it is back.
    """
    app.extensions[_SLOT] = _Installed(tell, has_database, Limits(core.instance_path))
    bell.newest = weakref.ref(app)
    # Gunicorn's own logger hands nothing up to the root.
    for logger in (logging.getLogger(), logging.getLogger("gunicorn.error")):
        if bell not in logger.handlers:
            logger.addHandler(bell)
    threading.excepthook = _thread_died


_Key = tuple[weakref.ref[Flask], str]


class Bell(logging.Handler):
    """Notes faults and never waits; one thread of the process tells them."""

    def __init__(self) -> None:
        super().__init__()
        self.newest: weakref.ref[Flask] | None = None
        self._noted: dict[_Key, Alarm] = {}
        self._later: dict[_Key, Alarm] = {}
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._busy = False

    def emit(self, record: logging.LogRecord) -> None:
        if threading.current_thread() is self._thread:
            return  # a fault while telling of faults is a line in the log and no more
        fault = record.exc_info[1] if record.exc_info else None
        outage = hasattr(record, "alarm")
        if not outage and (fault is None or record.levelno < logging.ERROR):
            return
        count_fault(record.name)
        app = self._app()
        if app is None or _SLOT not in app.extensions:
            return
        try:
            self._note(weakref.ref(app), describe(record, fault))
        except Exception:
            self.handleError(record)

    def _app(self) -> Flask | None:
        if has_app_context():
            running: Flask = current_app._get_current_object()  # type: ignore[attr-defined]
            return running
        return self.newest() if self.newest else None

    def _note(self, app: weakref.ref[Flask], alarm: Alarm) -> None:
        with self._changed:
            key = (app, alarm.place)
            known = self._noted.get(key)
            if known is not None and not alarm.outage:
                self._noted[key] = replace(known, count=known.count + alarm.count)
            elif known is not None or len(self._noted) < MAX_PLACES_AT_ONCE:
                self._noted[key] = alarm
            if self._thread is None or not self._thread.is_alive():
                if self._thread is None:
                    atexit.register(self._flush)
                self._thread = threading.Thread(target=self._work, name="alarms", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def _work(self) -> None:
        while True:
            with self._changed:
                self._busy = False
                self._changed.notify_all()
                pause = LOOK_AGAIN_SECONDS if self._later else None
                self._changed.wait_for(lambda: self._noted, pause)
                noted = {**self._later, **self._noted}
                self._noted, self._later = {}, {}
                self._busy = True
            for key, alarm in noted.items():
                try:
                    self._hand_over(key, alarm)
                except Exception:
                    log.warning("an alarm is lost", exc_info=True)

    def _hand_over(self, key: _Key, alarm: Alarm) -> None:
        """A frame of its own: while the thread waits it must not hold an app."""
        app = key[0]()
        if app is None:
            return
        installed: _Installed = app.extensions[_SLOT]
        is_database = alarm.place == DATABASE_AWAY
        if is_database and alarm.over:
            with app.app_context():
                if not installed.has_database():
                    self._later[key] = alarm
                    return
            alarm = replace(alarm, at=clock.now())
        told = _tell(app, installed, alarm)
        lasts = installed.limits.lasts(alarm.place)
        if is_database and lasts and not alarm.over:
            back = replace(alarm, what=DATABASE_BACK, notice=DATABASE_BACK, outage=True, over=True)
            self._later[key] = replace(back, during="", request_id="")
        elif alarm.outage and lasts == alarm.over and not told:
            self._later[key] = replace(alarm, count=0)
        if told:
            closing.wait(PACE_SECONDS)

    def _flush(self) -> None:
        """At the end of the process."""
        closing.set()
        with self._changed:
            self._changed.wait_for(lambda: not self._noted and not self._busy, FLUSH_SECONDS)


def _tell(app: Flask, installed: _Installed, alarm: Alarm) -> bool:
    """Whether people were told; if nobody could be, the next time is due at once."""
    due = installed.limits.admit(alarm.place, alarm.count, over=alarm.over)
    if due is None:
        return False
    try:
        with app.app_context():
            installed.tell(replace(alarm, count=due.count, held_back=due.held_back))
    except Exception as error:
        log.warning("an alarm could not be told: %s: %s", type(error).__name__, error)
        installed.limits.take_back(alarm.place, due, over=alarm.over)
        return False
    return True


def describe(record: logging.LogRecord, fault: BaseException | None) -> Alarm:
    """What people are told of a record, from within the request or job that it is about."""
    words = record.getMessage()
    outage, over = getattr(record, "alarm", ""), getattr(record, "alarm_over", "")
    if fault is None:
        what, during, where = words, "", record.name
        place, notice = outage, over or outage
    else:
        what, during = _in_words(fault), words.partition("?")[0]
        where = _place_of(fault.__traceback__) or record.name
        notice = DATABASE_AWAY if is_database_away(fault) else ""
        place = notice or f"{type(fault).__qualname__} at {where}"
    if has_request_context():
        during = f"{request.method} {request.path}"
    return Alarm(
        place=place,
        what=_cut(masker.mask(what), MAX_WHAT),
        where=_cut(where, MAX_WHAT),
        during=_cut(masker.mask(during), MAX_DURING),
        request_id=current_request_id(),
        process=f"{socket.gethostname()} / {os.getpid()} / {record.threadName}",
        at=clock.now(),
        notice=notice,
        outage=bool(outage),
        over=bool(over),
    )


def _in_words(fault: BaseException) -> str:
    first_line = str(fault).strip().partition("\n")[0]
    name = type(fault).__qualname__
    return f"{name}: {first_line}" if first_line else name


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else text[: longest - 1] + "…"


def _place_of(trace: TracebackType | None) -> str:
    """The innermost line of ours, else the innermost of all."""
    frames = [
        (frame.f_code.co_filename, line, frame.f_code.co_name)
        for frame, line in traceback.walk_tb(trace)
    ]
    ours = [frame for frame in frames if _is_ours(frame[0])]
    for file, line, function in (ours or frames)[-1:]:
        return f"{_short(file)}:{line} in {function}"
    return ""


def _is_ours(file: str) -> bool:
    return Path(file).is_relative_to(ROOT) and "site-packages" not in file


def _short(file: str) -> str:
    path = Path(file)
    if _is_ours(file):
        return str(path.relative_to(ROOT))
    return "/".join(path.parts[-3:])


def is_database_away(fault: BaseException) -> bool:
    """Not to be reached, shutting down, or full; then one word is enough for all who notice."""
    if not isinstance(fault, OperationalError | InterfaceError):
        return False
    if not type(fault.orig).__module__.startswith("psycopg2"):
        return False
    code = getattr(fault.orig, "pgcode", None)
    return code is None or code.startswith("57P") or code == "53300"


_next_hook = threading.excepthook


def _thread_died(args: threading.ExceptHookArgs) -> None:
    """threading.excepthook: into the log like every other fault."""
    if isinstance(args.exc_value, Exception):
        name = args.thread.name if args.thread else "?"
        log.critical("thread %s died", name, exc_info=args.exc_value)
    if _next_hook is not threading.__excepthook__:
        _next_hook(args)


bell = Bell()
"""The one of this process; its level, like any handler's, can silence it."""
