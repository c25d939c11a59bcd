"""Events: facts of the past, told to any number of listeners inside the same transaction."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Any, TypeVar

from manga_backend.kit.registry import Host, extensions

E = TypeVar("E")
_KEY = "kit.events"


def listen(app: Host, kind: type[E], listener: Callable[[E], None]) -> None:
    """Call `listener` for each published event of exactly this type, in order of registration."""
    listeners = app.extensions.setdefault(_KEY, defaultdict(list))
    listeners[kind].append(listener)


def publish(event: Any) -> None:
    """Tell all listeners now; what one of them raises rolls the whole change back."""
    for listener in extensions().get(_KEY, {}).get(type(event), ()):
        listener(event)
