"""How broadcasts, their states and audiences are called, and what their messages are found by."""

from __future__ import annotations

import uuid

from manga_backend.kernel.broadcasts.types import Audience, State
from manga_backend.kit.i18n import N_

CARD = "messages/broadcast.html"
HELP = "messages/broadcast_help.html"

KIND = "broadcast"
TEST_KIND = "broadcast_test"
CARD_KIND = "broadcast_card"

STATE_NAMES = {
    State.DRAFT: N_("Draft"),
    State.RUNNING: N_("Running"),
    State.PAUSED: N_("Paused"),
    State.FINISHED: N_("Finished"),
    State.CANCELLED: N_("Cancelled"),
}

AUDIENCE_NAMES = {
    Audience.ALL: N_("Everyone"),
    Audience.ACTIVE: N_("Active subscribers"),
    Audience.EXPIRING: N_("Subscription ends within 7 days"),
    Audience.EXPIRED: N_("Subscription has ended"),
}

REALLY = {
    "start": N_("Send this to the whole audience?"),
    "cancel": N_("Cancel this broadcast for good?"),
}

REFUSED_IN = {
    State.DRAFT: N_("This can't be done: the broadcast is still a draft."),
    State.RUNNING: N_("This can't be done: the broadcast is running."),
    State.PAUSED: N_("This can't be done: the broadcast is paused."),
    State.FINISHED: N_("This can't be done: the broadcast is finished."),
    State.CANCELLED: N_("This can't be done: the broadcast was cancelled."),
}


def subject_key(broadcast_id: uuid.UUID) -> str:
    """What the messages to its audience are found by."""
    return f"broadcast:{broadcast_id.hex}"


def card_key(broadcast_id: uuid.UUID) -> str:
    """What the messages with its buttons are found by."""
    return f"broadcast_card:{broadcast_id.hex}"


def test_key(broadcast_id: uuid.UUID) -> str:
    """What its tests are found by, which no count includes."""
    return f"broadcast_test:{broadcast_id.hex}"
