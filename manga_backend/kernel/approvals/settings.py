"""Settings of the desk."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from manga_backend.kit.money import parse_decimal
from manga_backend.kit.settings import CoreSettings, Env


@dataclass(frozen=True)
class ApprovalSettings:
    """`remind_after` zero: admins are not asked again. `four_eyes_above`: in minor units of USDT;
    None: one admin is enough for any amount."""

    remind_after: timedelta
    four_eyes_above: int | None = None

    def needs_two(self, amount: int) -> bool:
        """Whether two admins must approve what moves so much, in minor units of USDT."""
        return self.four_eyes_above is not None and amount > self.four_eyes_above


def load(env: Env, core: CoreSettings) -> ApprovalSettings:
    """APPROVAL_REMINDER_MINUTES, FOUR_EYES_ABOVE."""
    minutes = env.number("APPROVAL_REMINDER_MINUTES", 60, least=0)
    limit = env.str("FOUR_EYES_ABOVE", "") or ""
    amount = parse_decimal(limit, "USDT") if limit else None
    if limit and amount is None:
        env.complain("FOUR_EYES_ABOVE", "must be an amount of USDT such as 500 or 99.50")
    return ApprovalSettings(remind_after=timedelta(minutes=minutes), four_eyes_above=amount)
