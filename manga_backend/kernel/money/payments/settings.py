"""Settings of payments."""

from __future__ import annotations

from dataclasses import dataclass

from manga_backend.kit.settings import CoreSettings, Env


@dataclass(frozen=True)
class PaymentSettings:
    """`auto_approves_intents`: a transfer of exactly an open intent's amount needs no person."""

    auto_approves_intents: bool


def load(env: Env, _core: CoreSettings) -> PaymentSettings:
    """AUTO_APPROVE: empty or `intent`; a bare hash always asks a person."""
    chosen = env.choice("AUTO_APPROVE", ("", "off", "intent"), "")
    return PaymentSettings(auto_approves_intents=chosen == "intent")
