"""Server-sent events: a process of their own streams them to a thousand listeners; elsewhere the
same address hands out what is new and lets the listener come again.

A worker of the API is never held. A browser's EventSource does not see the difference: it comes
back after `retry` with the number of the last event that it got (Last-Event-ID), and gets the rest.
"""

from __future__ import annotations

import logging
import queue
import re
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any, Protocol, TypeVar

from flask import Flask, Response, abort, current_app, request

from manga_backend.kit import clock
from manga_backend.kit.db import DATABASE_AWAY
from manga_backend.kit.logging import Outage
from manga_backend.kit.registry import Registry, extensions

log = logging.getLogger(__name__)

V = TypeVar("V", bound=Callable[..., Any])

LOOK_SECONDS = 0.5
"""Between two looks for news, by the one process that streams."""
AWAY_SECONDS = 5.0
AGAIN_SECONDS = 2.0
"""Till a browser comes again whose stream has ended."""
COME_AGAIN_SECONDS = 3.0
"""The same for listeners of a process that does not stream."""
LATER_SECONDS = 10.0
"""The same when there are too many, or the database is away."""
SIGN_OF_LIFE_SECONDS = 15.0
MOST_WAITING = 200
"""Events that a slow listener may be behind before it is sent away, to come again."""

EVENT = {
    "type": "object",
    "description": "Of each event (WHATWG, server-sent events); `data` is JSON.",
    "properties": {name: {"type": "string"} for name in ("id", "event", "data")},
}
"""For the API document."""

_MARK = re.compile(r"(\d{1,18})-(\d{1,10})", re.ASCII)

LIVE = "_live"
_HUB = "kit.live.hub"


@dataclass(frozen=True, slots=True)
class LiveEvent:
    """`number` grows, if not in the order of the commits; `data` is one line of JSON."""

    number: int
    kind: str
    data: str


class Source(Protocol):
    """Where events come from; each method opens its own transaction."""

    def latest(self) -> int:
        """The number of the newest; 0 before the first."""

    def replay(self, after: int, at: datetime) -> list[LiveEvent] | None:
        """What came after an event that was told at a moment, or was committed later than it though
        it has a lower number. None: it is too long ago."""

    def news(self) -> list[LiveEvent]:
        """What has come since the last call, each event once; called by one thread."""


sources: Registry[Source] = Registry("live.sources")


def live(view: V) -> V:
    """Marks a view that the streaming process serves; it serves no other."""
    setattr(view, LIVE, True)
    return view


class Listener:
    """One open connection."""

    def __init__(self, source: str) -> None:
        self.source = source
        self._waiting: queue.Queue[bytes] = queue.Queue(MOST_WAITING)
        self._is_over = False

    def send(self, chunk: bytes) -> bool:
        """False when it is too far behind: then it ends, and comes again by itself."""
        try:
            self._waiting.put_nowait(chunk)
        except queue.Full:
            self._is_over = True
            return False
        return True

    def chunks(self, first: bytes) -> Iterator[bytes]:
        """What is written to it, with a comment now and then so that no proxy takes it for dead."""
        yield first
        while not self._is_over:
            try:
                yield self._waiting.get(timeout=SIGN_OF_LIFE_SECONDS)
            except queue.Empty:
                yield b":\n\n"


class Hub:
    """All listeners of this process, and one thread for each source that tells them."""

    def __init__(self, app: Flask, most: int) -> None:
        self._app = app
        self._most = most
        self._lock = threading.Lock()
        self._listeners: set[Listener] = set()
        self._told: set[str] = set()
        """Sources whose news are looked for: what came before the first look nobody is told."""
        self._outage = Outage(log, "no news: the database is away", "the database answers again")

    def start(self) -> None:
        """Begin to look for news."""
        with self._app.app_context():
            found = sources.items()
        for name, source in found:
            threading.Thread(
                target=self._tell, args=(name, source), name=f"live-{name}", daemon=True
            ).start()

    def join(self, source: str) -> Listener | None:
        """None when there are too many, or nothing is told yet."""
        listener = Listener(source)
        with self._lock:
            if len(self._listeners) >= self._most or source not in self._told:
                return None
            self._listeners.add(listener)
        return listener

    def leave(self, listener: Listener) -> None:
        """May be called twice."""
        with self._lock:
            self._listeners.discard(listener)

    def _tell(self, name: str, source: Source) -> None:
        pause = threading.Event()
        while True:
            seconds = LOOK_SECONDS
            try:
                looked_at = clock.now()
                with self._app.app_context():
                    events = source.news()
                self._outage.ends()
                with self._lock:
                    self._told.add(name)
                if events:
                    self._send(name, _written(events, looked_at))
            except DATABASE_AWAY as error:
                self._outage.begins(str(error).splitlines()[0])
                seconds = AWAY_SECONDS
            except Exception:
                log.exception("news of %s could not be told", name)
                seconds = AWAY_SECONDS
            pause.wait(seconds)

    def _send(self, name: str, chunk: bytes) -> None:
        with self._lock:
            wanted = [one for one in self._listeners if one.source == name]
        for listener in wanted:
            if not listener.send(chunk):
                self.leave(listener)


def _written(events: Iterable[LiveEvent], at: datetime) -> bytes:
    """With the number and the moment as its id: both are needed to go on from there."""
    return "".join(
        f"id: {_mark(event.number, at)}\nevent: {event.kind}\ndata: {event.data}\n\n"
        for event in events
    ).encode()


def _mark(number: int, at: datetime) -> str:
    return f"{number}-{int(at.timestamp())}"


def _beginning(source: Source) -> bytes:
    """What came since the event that the listener got last; for a new one, and for one that was
    away too long, the number of the newest: it has to read the list by itself. It ends with an id
    alone, by which a browser remembers how far it is."""
    now = clock.now()
    told = _MARK.fullmatch(
        request.headers.get("Last-Event-ID") or request.args.get("last_event_id") or ""
    )
    latest = source.latest()
    missed = None
    if told is not None:
        missed = source.replay(int(told[1]), datetime.fromtimestamp(int(told[2]), UTC))
    if missed is None:
        missed = [LiveEvent(latest, "hello" if told is None else "reset", "{}")]
    return _written(missed, now) + f"id: {_mark(latest, now)}\n\n".encode()


def _come_again(seconds: float) -> bytes:
    return f"retry: {int(seconds * 1000)}\n\n".encode()


def stream(name: str) -> Response:
    """The answer of a view marked `live` and `unlimited`: events of one source. Open for ever in
    the streaming process; in others only what is new, and when to come again. An EventSource gives
    up for good when it is answered anything but 200, so one that can't be served now is told to
    come later."""
    hub: Hub | None = extensions().get(_HUB)
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    later = Response(_come_again(LATER_SECONDS), 200, headers, "text/event-stream")
    listener = None
    if hub is not None:
        listener = hub.join(name)  # first, or what comes meanwhile would be missed
        if listener is None:
            return later
    try:
        first = _beginning(sources[name])
    except BaseException as error:
        if hub is not None and listener is not None:
            hub.leave(listener)
        if isinstance(error, DATABASE_AWAY):
            return later
        raise
    if hub is None or listener is None:
        pause = _come_again(COME_AGAIN_SECONDS)
        return Response(pause + first, 200, headers, "text/event-stream")
    chunks = listener.chunks(_come_again(AGAIN_SECONDS) + first)
    answer = Response(chunks, 200, headers, "text/event-stream")
    answer.call_on_close(partial(hub.leave, listener))
    return answer


def serve_live(app: Flask, most_listeners: int) -> None:
    """Make this process the one that streams; before its first request."""
    hub = Hub(app, most_listeners)
    app.extensions[_HUB] = hub

    @app.before_request
    def refuse_all_else() -> None:
        view = current_app.view_functions.get(request.endpoint or "")
        if not getattr(view, LIVE, False):
            abort(404)

    hub.start()
