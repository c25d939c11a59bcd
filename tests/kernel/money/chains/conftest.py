"""A real EVM chain on loopback, as new for each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.standins.chains import EvmChain
from tools.anvil import AnvilServer, compile_tokens
from tools.process import ServiceError


@pytest.fixture(scope="session")
def evm_node() -> Iterator[EvmChain]:
    """Anvil, from the npm registry."""
    try:
        compile_tokens()
        server = AnvilServer(56)
    except ServiceError as error:
        pytest.skip(f"Anvil cannot be had: {error}")
    with EvmChain(server) as running:
        yield running


@pytest.fixture
def evm(evm_node: EvmChain) -> Iterator[EvmChain]:
    """Whatever a test does to it is undone."""
    before = evm_node.snapshot()
    yield evm_node
    evm_node.automine(True)
    evm_node.revert(before)
