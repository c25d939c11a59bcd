"""Settings of payments."""

from __future__ import annotations

from dataclasses import dataclass

from manga_backend.kit.money import parse_decimal
from manga_backend.kit.settings import CoreSettings, Env


@dataclass(frozen=True)
class PaymentSettings:
    """`auto_approves_intents`: a transfer of exactly an open intent's amount needs no person.
    `four_eyes_above`: in minor units of USDT; None: one admin is enough for any amount."""

    auto_approves_intents: bool
    four_eyes_above: int | None = None


def load(env: Env, _core: CoreSettings) -> PaymentSettings:
    """AUTO_APPROVE (empty or `intent`; a bare hash always asks a person), FOUR_EYES_ABOVE."""
    chosen = env.choice("AUTO_APPROVE", ("", "off", "intent"), "")
    limit = env.str("FOUR_EYES_ABOVE", "") or ""
    amount = parse_decimal(limit, "USDT") if limit else None
    if limit and amount is None:
        env.complain("FOUR_EYES_ABOVE", "must be an amount of USDT such as 500 or 99.50")
    return PaymentSettings(auto_approves_intents=chosen == "intent", four_eyes_above=amount)
