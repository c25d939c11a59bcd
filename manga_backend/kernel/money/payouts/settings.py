"""Settings of withdrawals."""

from __future__ import annotations

from dataclasses import dataclass

from manga_backend.kernel.money.payouts.types import Sender
from manga_backend.kit.money import parse_decimal
from manga_backend.kit.settings import CoreSettings, Env

CURRENCY = "USDT"


@dataclass(frozen=True)
class PayoutSettings:
    """Amounts in minor units of USDT. Up to `approval_above` a withdrawal asks nobody."""

    sender: Sender
    least: int
    most: int
    approval_above: int


def load(env: Env, _core: CoreSettings) -> PayoutSettings:
    """WITHDRAW_BY and WITHDRAW_* (traffic-share.md)."""
    sender = Sender(env.choice("WITHDRAW_BY", [each.value for each in Sender], Sender.NONE.value))
    if sender is Sender.GATEWAY and not env.str("CRYPTOMUS_PAYOUT_KEY", ""):
        env.complain("WITHDRAW_BY", "gateway needs CRYPTOMUS_PAYOUT_KEY")
    found = PayoutSettings(
        sender=sender,
        least=_amount(env, "WITHDRAW_MIN", "5"),
        most=_amount(env, "WITHDRAW_MAX", "1000"),
        approval_above=_amount(env, "WITHDRAW_APPROVAL_ABOVE", "0"),
    )
    if not found.least:
        env.complain("WITHDRAW_MIN", "must be above 0")
    if found.least > found.most:
        env.complain("WITHDRAW_MIN", "must not be above WITHDRAW_MAX")
    return found


def _amount(env: Env, name: str, default: str) -> int:
    env.defaults[name] = default
    amount = parse_decimal(env.str(name, default) or default, CURRENCY)
    if amount is None:
        env.complain(name, "must be an amount of USDT such as 20 or 99.50")
    return amount or 0
