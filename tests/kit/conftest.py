"""What several tests of the kit share."""

from __future__ import annotations

import pytest

from tests.conftest import Deployment
from tests.standins.telegram import BotApiStandIn
from tests.support import Api


@pytest.fixture
def lite(on_sqlite: Deployment, bot: BotApiStandIn) -> Api:
    """For what no database has a say in."""
    return Api(on_sqlite.app, bot)


@pytest.fixture
def fresh(on_sqlite: Deployment, bot: BotApiStandIn) -> Api:
    """SQLite alone, empty."""
    on_sqlite.reset()
    return Api(on_sqlite.app, bot)
