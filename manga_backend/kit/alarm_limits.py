"""How often alarms may be told, kept in a file for all processes of the machine."""

from __future__ import annotations

import fcntl
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from manga_backend.kit import clock

log = logging.getLogger(__name__)

EVERY_SECONDS = 300.0
MAX_IN_ALL = 10
"""Messages within EVERY_SECONDS, whatever breaks."""
MAX_PLACES = 500
FILE_NAME = "alarms.json"


@dataclass(frozen=True, slots=True)
class Due:
    """May be told now: `count` times this since it was told last, `held_back` times other faults
    for which there was no room."""

    count: int
    held_back: int
    at: float
    """Its place among the ten that may be told."""


@dataclass(slots=True)
class _Place:
    told_at: float = 0.0
    seen_at: float = 0.0
    missed: int = 0
    held_back: int = 0
    lasts: bool = False


@dataclass(slots=True)
class _State:
    told: list[float] = field(default_factory=list)
    places: dict[str, _Place] = field(default_factory=dict)


class Limits:
    """One message in 5 min for each place, 10 for all; no database and no Redis needed.

    Without the file (a full disk) each process counts for itself.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE_NAME
        self._state = _State()

    def admit(self, name: str, count: int, *, over: bool = False) -> Due | None:
        """Note that a fault happened `count` times at a place; None while it may not be told.

        `over`: the outage has ended, which is told whenever it was told that it began, and only
        then.
        """
        with self._locked() as state:
            now = clock.now().timestamp()  # under the lock: no one's is later than the next one's
            place = state.places.setdefault(name, _Place())
            place.seen_at = now
            place.missed += count
            # A clock that was set back leaves times in the future: they count for nothing.
            state.told = [at for at in state.told if now - EVERY_SECONDS < at <= now]
            if not place.lasts if over else now - EVERY_SECONDS < place.told_at <= now:
                return None
            if len(state.told) >= MAX_IN_ALL:
                place.held_back += count
                return None
            state.told.append(now)
            count, held_back = place.missed, 0
            place.missed, place.lasts = 0, not over
            if not over:
                place.told_at = now
            for each in state.places.values():
                held_back += each.held_back if each is not place else 0
                each.held_back = 0
            return Due(count, held_back, now)

    def lasts(self, name: str) -> bool:
        """Whether the last that people were told of an outage is that it began."""
        with self._locked() as state:
            return name in state.places and state.places[name].lasts

    def take_back(self, name: str, due: Due, *, over: bool = False) -> None:
        """Nobody was told after all: the next time is due at once."""
        with self._locked() as state:
            if (place := state.places.get(name)) is not None:
                if due.at in state.told:
                    state.told.remove(due.at)
                if not over:
                    place.told_at = 0.0
                place.lasts = over
                place.missed += due.count

    @contextmanager
    def _locked(self) -> Iterator[_State]:
        """The state, read and written under flock(2)."""
        try:
            file = self._path.open("a+", encoding="utf-8")
        except OSError as error:
            log.debug("alarms are counted in memory: %s", error)
            yield self._state
            return
        with file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.seek(0)
            self._state = _read(file.read())
            try:
                yield self._state
            finally:
                try:
                    file.seek(0)
                    file.truncate()
                    file.write(_written(self._state))
                    file.flush()
                except OSError as error:
                    log.debug("alarms are counted in memory: %s", error)


def _read(text: str) -> _State:
    """What a kill -9 left half written is forgotten."""
    try:
        found: dict[str, Any] = json.loads(text)
        places = {name: _Place(**values) for name, values in found["places"].items()}
        return _State([float(at) for at in found["told"]], places)
    except (ValueError, TypeError, KeyError, AttributeError):
        return _State()


def _written(state: _State) -> str:
    newest = sorted(state.places.items(), key=lambda item: item[1].seen_at)[-MAX_PLACES:]
    return json.dumps(
        {"told": state.told, "places": {name: asdict(place) for name, place in newest}}
    )
