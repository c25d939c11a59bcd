"""How it is called whether a user can be written to."""

from __future__ import annotations

from manga_backend.kernel.telegram.types import Reachability
from manga_backend.kit.i18n import N_

REACHABILITY_WORDS = {
    Reachability.UNKNOWN: N_("Telegram: not tried yet"),
    Reachability.ENABLED: N_("Telegram: reachable"),
    Reachability.NEEDS_START: N_("Telegram: has not pressed Start"),
    Reachability.BLOCKED: N_("Telegram: blocked the bot"),
    Reachability.DEACTIVATED: N_("Telegram: account is gone"),
}
