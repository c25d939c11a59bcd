"""A deployment in processes of its own, on a database cloned for one test."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from manga_backend.app import create_app
from manga_backend.kernel.identity.service.accounts import register
from manga_backend.kernel.identity.types import Role
from manga_backend.kit import clock
from manga_backend.kit.db import transaction
from tests.conftest import migrate
from tests.deployment.processes import Process
from tests.standins.telegram import BotApiStandIn
from tests.support import LOG_CHANNEL, PASSWORD, base_settings
from tools.services import PostgresServer

_numbers = itertools.count(1)


@pytest.fixture
def telegram() -> Iterator[BotApiStandIn]:
    """A Bot API of this test's own: its queue of updates holds nothing of others."""
    with BotApiStandIn(open_chats=True) as stand_in:
        stand_in.add_group(LOG_CHANNEL, "Log", "channel")
        yield stand_in


@pytest.fixture
def settings(
    postgres: PostgresServer, postgres_template: str, tmp_path: Path, telegram: BotApiStandIn
) -> dict[str, str]:
    """PostgreSQL, three workers, no Redis."""
    name = f"deployment_{next(_numbers)}"
    postgres.create_database(name, template=postgres_template)
    return {
        **base_settings(tmp_path, telegram),
        "DATABASE_URL": postgres.url(name),
        "WEB_CONCURRENCY": "3",
        "LOG_LEVEL": "info",
    }


@pytest.fixture
def sqlite_settings(tmp_path: Path, telegram: BotApiStandIn) -> dict[str, str]:
    """The embedded default with three workers."""
    values = {**base_settings(tmp_path, telegram), "WEB_CONCURRENCY": "3", "LOG_LEVEL": "info"}
    migrate(create_app(values))
    return values


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[type[Process], dict[str, str]], Process]]:
    """Start a process that ends with the test."""
    started: list[Process] = []

    def begin(kind: type[Process], values: dict[str, str]) -> Process:
        log = tmp_path / f"{kind.__name__.lower()}-{len(started)}.log"
        process = kind(values, log)  # type: ignore[call-arg,arg-type]
        started.append(process)
        process.start()
        return process

    yield begin
    for process in started:
        if process.process is not None and process.process.poll() is None:
            process.stop()


@pytest.fixture
def make_admin(settings: dict[str, str]) -> Callable[..., None]:
    """Open an account of role admin, or another, on the deployment's database."""

    def make(username: str, role: Role = Role.ADMIN, telegram_id: int | None = None) -> None:
        app = create_app(settings)
        with app.app_context(), transaction():
            user = register(username, PASSWORD, telegram_id, role=role)
            user.telegram_verified_at = clock.now() if telegram_id else None

    return make
