"""Registries: a key has exactly one handler; a key taken twice stops the start."""

from __future__ import annotations

from typing import Any, Generic, Protocol, TypeVar

from flask import current_app

H = TypeVar("H")


class Host(Protocol):
    """An app: what listeners and handlers hang on."""

    extensions: dict[str, Any]


def extensions() -> dict[str, Any]:
    """The slots of the running app."""
    found: dict[str, Any] = current_app.extensions
    return found


class Registry(Generic[H]):
    """Handlers by key; they hang on the app, so that two apps in one process don't mix."""

    def __init__(self, name: str) -> None:
        self._slot = f"kit.registry.{name}"
        self.name = name

    def register(self, app: Host, key: str, handler: H) -> None:
        """Make `handler` the one answer for `key`; RuntimeError when the key is taken."""
        handlers = app.extensions.setdefault(self._slot, {})
        if key in handlers:
            raise RuntimeError(f"{self.name}: {key!r} is registered twice")
        handlers[key] = handler

    def __getitem__(self, key: str) -> H:
        handler: H = self._handlers()[key]
        return handler

    def find(self, key: str) -> H | None:
        """The handler, or None for an unknown key."""
        return self._handlers().get(key)

    def items(self) -> list[tuple[str, H]]:
        """All pairs, in order of registration."""
        return list(self._handlers().items())

    def require(self, app: Host, *keys: str) -> None:
        """At start: RuntimeError if one of `keys` has no handler."""
        missing = [key for key in keys if key not in app.extensions.get(self._slot, {})]
        if missing:
            raise RuntimeError(f"{self.name}: nothing is registered for {', '.join(missing)}")

    def _handlers(self) -> dict[str, H]:
        handlers: dict[str, H] = extensions().get(self._slot, {})
        return handlers
