"""What every test of the kernel stands on."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.standins.telegram import BotApiStandIn


@pytest.fixture(autouse=True)
def rested_bot(bot: BotApiStandIn) -> Iterator[BotApiStandIn]:
    """Telegram without the updates, faults and outages of the tests before.

    Each test starts from an empty database and so from no offset; the real server would slow down
    a bot that asks for the same offset twice within 3 s.
    """
    updates = bot._state.updates
    with updates.monitor:
        updates.forget_all()
        updates._last_offset = None
    yield bot
    bot.come_back()
    bot.clear_faults()
