"""Settings of urgent orders."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from manga_backend.kit.settings import CoreSettings, Env


@dataclass(frozen=True)
class UrgentSettings:
    """What one Star and one USDT buy, in rubles; exact."""

    rub_per_star: Fraction
    rub_per_usdt: Fraction


def load(env: Env, _core: CoreSettings) -> UrgentSettings:
    """RUB_PER_STAR and RUB_PER_USDT of urgent-orders.md."""
    return UrgentSettings(
        rub_per_star=_rate(env, "RUB_PER_STAR", "1.2"),
        rub_per_usdt=_rate(env, "RUB_PER_USDT", "80"),
    )


def _rate(env: Env, name: str, default: str) -> Fraction:
    text = env.str(name, default) or default
    try:
        rate = Fraction(text)
    except (ValueError, ZeroDivisionError):
        rate = Fraction(0)
    if not 0 < rate <= 1_000_000:
        env.complain(name, f"{text!r} is not a rate like `{default}`")
        return Fraction(default)
    return rate
