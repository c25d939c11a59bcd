"""An app that reads TRON from a stand-in of TronGrid."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.conftest import Deployment
from tests.standins.chains import TronGridStandIn
from tests.standins.chains.tron import some_address
from tests.standins.telegram import BotApiStandIn
from tests.support import Api
from tests.variants import variant_api

OURS = some_address("shop")


@pytest.fixture
def grid() -> Iterator[TronGridStandIn]:
    with TronGridStandIn() as running:
        yield running


@contextmanager
def reading(
    deployment: Deployment, bot: BotApiStandIn, grid: TronGridStandIn, **more: str
) -> Iterator[Api]:
    """An app whose TRON address is read."""
    values = {"TRON_ADDRESS": OURS, "TRON_RPC_URL": grid.url, **more}
    with variant_api(deployment, bot, **values) as api:
        yield api


@pytest.fixture
def seeing(deployment: Deployment, bot: BotApiStandIn, grid: TronGridStandIn) -> Iterator[Api]:
    """Both databases; a person decides."""
    with reading(deployment, bot, grid) as api:
        yield api


@pytest.fixture
def trusting(deployment: Deployment, bot: BotApiStandIn, grid: TronGridStandIn) -> Iterator[Api]:
    """Both databases; AUTO_APPROVE=intent."""
    with reading(deployment, bot, grid, AUTO_APPROVE="intent") as api:
        yield api
