"""The app with other settings, and what it writes into the log."""

from __future__ import annotations

import copy
import logging
from collections.abc import Iterator
from contextlib import contextmanager

from manga_backend.app import create_app
from manga_backend.kit.app import App
from manga_backend.kit.db import db
from manga_backend.kit.ratelimit import limiter
from tests.conftest import Deployment
from tests.standins.telegram import BotApiStandIn
from tests.support import Api


def dispose(app: App) -> None:
    """Close every connection of an app."""
    with app.app_context():
        for engine in db.engines.values():
            engine.dispose()


@contextmanager
def variant(settings: dict[str, str], **changes: str) -> Iterator[App]:
    """An app on the same database with some settings changed.

    Flask-Limiter keeps its state on a module-level object: it is put back afterwards.
    """
    before = copy.copy(limiter.__dict__)
    before["_storage_options"] = dict(limiter._storage_options)
    app = create_app({**settings, **changes})
    try:
        yield app
    finally:
        dispose(app)
        limiter.__dict__.update(before)


@contextmanager
def variant_api(deployment: Deployment, bot: BotApiStandIn, **changes: str) -> Iterator[Api]:
    """The same, as its users see it."""
    with variant(deployment.settings, **changes) as app:
        yield Api(app, bot)


class LogLines(logging.Handler):
    """Messages as they are logged; create_app() resets the root logger and caplog with it."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


@contextmanager
def logged(*names: str) -> Iterator[list[str]]:
    """What these loggers say meanwhile; by default everything of ours."""
    handler = LogLines()
    loggers = [logging.getLogger(name) for name in names or ("manga_backend",)]
    for logger in loggers:
        logger.addHandler(handler)
    try:
        yield handler.lines
    finally:
        for logger in loggers:
            logger.removeHandler(handler)
