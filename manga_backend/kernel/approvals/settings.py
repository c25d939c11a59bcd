"""Settings of the desk."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from manga_backend.kit.settings import CoreSettings, Env


@dataclass(frozen=True)
class ApprovalSettings:
    """`remind_after` zero: admins are not asked again."""

    remind_after: timedelta


def load(env: Env, core: CoreSettings) -> ApprovalSettings:
    """APPROVAL_REMINDER_MINUTES."""
    minutes = env.number("APPROVAL_REMINDER_MINUTES", 60, least=0)
    return ApprovalSettings(remind_after=timedelta(minutes=minutes))
